from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Interval
from jsonschema import Draft202012Validator

from assay.config.fitting import Misfit, fit
from assay.config.json_types import json_type, or_reference, parameter_schema
from assay.config.signatures import Parameter


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclass
class Stop:
    patience: int
    min_delta: float = 0.0
    word: str | None = None


ANNOTATIONS: list[Any] = [
    int, float, bool, str, None, Path, Colour, Stop, torch.Tensor, torch.dtype,
    int | None, int | str, float | Sequence[float], bool | int, float | torch.Tensor,
    Stop | Mapping[str, Any] | None,
    list[int], list, set[str], tuple[int, float], tuple[int, ...], tuple[int, str] | int, list[Colour],
    dict[int, float], dict[str, int], Mapping[str, list[int]], Literal["a", 1, None], Literal["a"] | float,
    Annotated[int, Ge(1)], Annotated[float, Gt(0)] | None, Annotated[int, Ge(1)] | Sequence[Annotated[int, Ge(1)]],
    Annotated[float, Interval(ge=0, lt=1)] | int, Sequence[Annotated[float, Gt(0)]],
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, 1, 2, -3, 0.5, -0.5, "", "a", "red", "RED", "blue", "float32", "torch.float32", "torch.nothing",
    [], [1], [1, 2], [1, 0.5], [0.5, 1.5], [1, "a"], ["a", "b"], ["red"], [[1, 2], [3, 4]], [True], [-1], [None],
    {}, {"1": 2}, {"a": 1}, {"a": [1]}, {"a": [0.5]}, {"-3": 0.5}, {"patience": 1}, {"patience": 1, "word": None},
    {"patience": "1"}, {"patience": 1, "more": 2}, {"min_delta": 1},
]  # fmt: skip


def fits(annotation: Any, value: Any) -> bool:
    try:
        fit(annotation, value)
    except Misfit:
        return False
    return True


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_the_schema_of_an_annotation_takes_what_fits_it_and_nothing_else(annotation: Any) -> None:
    schema = json_type(annotation)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    wrong = [value for value in VALUES if validator.is_valid(value) != fits(annotation, value)]
    assert wrong == [], schema
    assert {validator.is_valid(value) for value in VALUES} == {True, False}


@pytest.mark.parametrize("annotation", [Any, object, Sequence[Any] | Any, type, Stop | type])
def test_what_says_nothing_of_json_takes_at_least_what_fits(annotation: Any) -> None:
    validator = Draft202012Validator(json_type(annotation))
    assert [value for value in VALUES if fits(annotation, value) and not validator.is_valid(value)] == []


@pytest.mark.parametrize(
    "schema",
    [{"type": ["integer"]}, {"enum": [1]}, {"anyOf": [{"enum": [1]}, {"type": ["null"]}]}, {"type": ["array"]}],
)
def test_a_reference_may_stand_for_any_value(schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(or_reference(schema))
    assert validator.is_valid("${other.key}")
    assert validator.is_valid("a ${b} c")
    assert not validator.is_valid("other.key")


def test_the_default_null_is_taken_and_a_range_from_a_table_minded() -> None:
    validator = Draft202012Validator(parameter_schema(Parameter("lr", float, None), Interval(gt=0)))
    assert [validator.is_valid(value) for value in (None, 0.1, 0, -1, [0.1])] == [True, True, False, False, False]


def test_words_from_a_table_are_the_only_words() -> None:
    validator = Draft202012Validator(parameter_schema(Parameter("mode", str), ("min", "max")))
    assert [validator.is_valid(value) for value in ("min", "mean", "${mode}", 1)] == [True, False, True, False]
    validator = Draft202012Validator(parameter_schema(Parameter("mode"), ("min", "max")))
    assert [validator.is_valid(value) for value in ("min", "mean", 1, None)] == [True, False, True, True]
