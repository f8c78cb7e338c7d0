"""Lengths of training and of time, with their unit: `"10ep"`, `"500ba"`, `"5s"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

__all__ = ["Duration"]

_TEXT = re.compile(r"([0-9]{1,9})(ep|ba|s)")


@dataclass(frozen=True)
class Duration:
    """`amount` epochs (`ep`), batches, that is updates (`ba`), or seconds (`s`); at least one.

    >>> Duration.of("500ba"), str(Duration(10, "ep"))
    (Duration(amount=500, unit='ba'), '10ep')
    """

    amount: int
    unit: Literal["ep", "ba", "s"]

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `text`.

        Raises:
            ValueError: it has no unit, another unit, or is not a positive whole number.
        """
        match = _TEXT.fullmatch(text)
        if match is None or int(match[1]) == 0:
            raise ValueError(f"{text!r} is not a positive whole number with a unit")
        unit: Literal["ep", "ba", "s"] = "ep" if match[2] == "ep" else "ba" if match[2] == "ba" else "s"
        return cls(int(match[1]), unit)

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"
