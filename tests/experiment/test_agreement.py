"""What the schema says of an argument is what the check says, over every argument of every component."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from assay.config.binding import bind
from assay.config.components import Allowed, Kind
from assay.config.json_types import parameter_schema
from assay.config.signatures import Parameter
from assay.experiment.catalog import KINDS
from assay.experiment.inventory import Entry, entries

# No whole number is written as 2.0: JSON Schema cannot tell it from 2.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**40, 0.5, -0.5, 1.5, 250.5, "", "word", "1e-3", "0.1", "mean", "float32",
    [], [1], [1, 2], [1, 2, 3], [0.5, 0.25], [0.5, 1.5], [-1], ["a"], ["a", "b"], [True], [[1, 2], [3, 4]],
    [["a"]], [None], [{}],
    {}, {"a": 1}, {"1": 0.5}, {"1": "a"}, {"patience": 3}, {"patience": "3"}, {"patience": 3, "other": 1},
]  # fmt: skip


def words(schema: Any) -> Iterator[Any]:
    """The words that a schema takes, and each with a letter more."""
    if isinstance(schema, dict):
        for word in schema.get("enum", ()):
            yield word
            yield f"{word}x"
        for inner in schema.values():
            yield from words(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from words(inner)


def refused(entry: Entry, parameter: Parameter, value: Any) -> bool:
    problems = bind(entry.kind, entry.name, entry.obj, {parameter.name: value})[1]
    return any(path[:1] == (parameter.name,) for path, _ in problems)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_schema_and_check_take_the_same_values(kind: Kind, project: Path) -> None:
    seen, count = set(), 0
    for entry in entries(kind, Allowed(project)):
        for argument, parameter in entry.arguments():
            limit = kind.limit(entry.obj, argument.name)
            schema = parameter_schema(parameter, limit)
            key = f"{schema} {parameter.annotation} {parameter.default is None}"
            if key in seen:  # said of another argument in the same words
                continue
            seen.add(key)
            Draft202012Validator.check_schema(schema)
            validator = Draft202012Validator(schema)
            for value in [*VALUES, *dict.fromkeys(words(schema))]:
                if value == "1e-3" and limit is not None:
                    continue  # nor can it tell the size of a number in quotes
                count += 1
                says = (not validator.is_valid(value), refused(entry, parameter, value))
                assert says[0] == says[1], (entry.name, argument.name, value, f"schema, check refuse: {says}", schema)
            assert validator.is_valid("${elsewhere}")
            json.dumps(schema)
    assert count > 100 or kind.name in ("loader", "trainer", "logger")
