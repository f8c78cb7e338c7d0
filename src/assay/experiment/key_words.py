"""What a key of a section takes, in words of a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotated_types import Interval

from assay.config.document import At
from assay.config.limits import words

__all__ = ["in_words"]

_PATTERNS: Mapping[At, str] = {
    ("project",): "1 to 80 letters, digits, `.`, `-` and `_`, the first no `.` or `-`",
    ("name",): "1 to 80 letters, digits, `.`, `-` and `_`, the first no `.` or `-`",
    ("host", "device"): "`auto`, `cpu`, `cuda`, `cuda:N` or `mps`",
}
_UNITS = {"ep": '`"1ep"` (epochs)', "ba": '`"500ba"` (updates)', "s": '`"5s"` (seconds)'}
_PLAIN = {
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "an object",
    "array": "a list",
}


def in_words(at: At, schema: Mapping[str, Any]) -> str:
    """What the value at a path may be, from its schema as pydantic writes it.

    >>> in_words(("seed",), {"type": "integer", "minimum": 0})
    'a whole number of at least 0'
    """
    members = schema.get("anyOf")
    if members:
        return " or ".join(dict.fromkeys(in_words(at, member) for member in members))
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("type") in ("integer", "number"):
        return _range(schema)
    if "pattern" in schema:
        listed = schema["pattern"].partition("(")[2].strip(")$").split("|")
        units = [shown for unit, shown in _UNITS.items() if unit in listed]
        return _PATTERNS.get(at) or (f"a length such as {' or '.join(units)}" if units else "text")
    if at[-1] == "type":
        return "a name"
    if at[-1] == "groups":
        return "a list of objects with `match` and arguments of the optimizer"
    return _PLAIN.get(str(schema.get("type")), "a value")


def _range(schema: Mapping[str, Any]) -> str:
    names = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
    # Where the limit is only what a machine can hold, it is of no interest.
    bounds = {name: schema[key] for key, name in names.items() if key in schema and abs(schema[key]) < 2**53}
    whole = schema["type"] == "integer"
    return words(Interval(**bounds), whole) if bounds else "a whole number" if whole else "a number"
