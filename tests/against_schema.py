"""The schema that comes with assay, as a judge of configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "configs" / "schema.json"


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def refused(config: Mapping[str, Any]) -> list[str]:
    """The dotted places of a configuration that the schema refuses, each once; none where it is taken.

    A place may be that of what lies around the mistake: of a name or a value that no alternative takes.
    """
    return sorted({_place(leaf) for error in validator().iter_errors(config) for leaf in _leaves(error)})


def _place(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.absolute_path)


def _leaves(error: ValidationError) -> list[ValidationError]:
    """The errors inside the alternatives of an error, as deep as they lie."""
    deeper = [leaf for inner in error.context or () if len(inner.path) for leaf in _leaves(inner)]
    return deeper or [error]
