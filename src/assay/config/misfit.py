"""What does not fit, in words: found, expected, and how to write it."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from assay.config.limits import Limit, breaches, words

__all__ = ["OUT_OF_RANGE", "WRONG_VALUE", "Fault", "Misfit", "out_of_range", "show"]

# What is wrong with the argument itself; anything else is a sentence about what is inside it.
WRONG_VALUE = "has a wrong value"
OUT_OF_RANGE = "is out of range"

# The path inside the value, what is wrong, found, expected, a hint.
Fault = tuple[tuple[str | int, ...], str, str, str, str]


class Misfit(Exception):
    """What does not fit, all of it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__()
        self.faults = list(faults)

    @classmethod
    def of(cls, value: Any, expected: str) -> Misfit:
        return cls([((), WRONG_VALUE, show(value), expected, _hint(value, expected))])

    def inside(self, key: str | int) -> list[Fault]:
        """The faults as seen from what holds the value at `key`."""
        return [((key, *path), wrong, found, wanted, hint) for path, wrong, found, wanted, hint in self.faults]


def show(value: Any) -> str:
    """A value as it stands in JSON, short, with its kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:60]}{"…" if len(value) > 60 else ""}" (a string)'
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if len(value) > 6 else _listed(value)
    if isinstance(value, int) and abs(value) >= 10**20:
        return "an integer of more than 20 digits"
    return repr(value)[:60]


def _listed(value: Iterable[Any]) -> str:
    try:
        return json.dumps(list(value), ensure_ascii=False)[:60]
    except (TypeError, ValueError):  # from Python it may hold anything
        return str(list(value))[:60]


def _hint(value: Any, expected: str) -> str:
    if isinstance(value, str) and "number" in expected:
        try:
            meant = float(value)
        except ValueError:
            return ""
        if math.isfinite(meant):
            return f"write {value} without quotes"
    if isinstance(value, float) and value.is_integer() and "whole number" in expected and abs(value) < 1e15:
        return f"write {int(value)}"
    return ""


def out_of_range(limit: Limit, value: Any, whole: bool = False) -> list[Fault]:
    """What breaks a limit, inside lists as well."""
    message = WRONG_VALUE if isinstance(limit, tuple) else OUT_OF_RANGE
    return [
        (path, message, show(found), words(limit, whole), _near(limit, found)) for path, found in breaches(limit, value)
    ]


def _near(limit: Limit, found: Any) -> str:
    """The word that a wrong one most likely stands for."""
    by_lower = {word.lower(): word for word in limit} if isinstance(limit, tuple) else {}
    match = difflib.get_close_matches(str(found).lower(), by_lower, 1)
    return f"did you mean {by_lower[match[0]]!r}?" if match else ""
