"""Learning rates set by hand at chosen epochs."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Annotated, ClassVar, final

from annotated_types import Ge, MinLen

from assay.errors import ConfigError, Problem
from assay.schedulers.base import BaseScheduler

__all__ = ["DynamicLR"]

# In a configuration it is a text, as all keys of JSON are.
Position = Annotated[int, Ge(0)]
_POSITION = re.compile(r"0|[1-9][0-9]{0,17}")


@final
class DynamicLR(BaseScheduler):
    """The rate that stands at the last position passed; it hands over at the last one.

    `{"0": 0.01, "40": 0.1, "60": 0.001}` is 0.01 for epochs 0-39, 0.1 for 40-59 and 0.001 from 60 on, where
    the next scheduler takes over. Without an entry for 0 the optimizer's rate holds until the first change.

    Args:
        values: learning rates by position, in epochs (or updates) from the start of this scheduler.

    Raises:
        ConfigError: no values; a position that is no whole number; a rate that is negative or not finite.
    """

    priority: ClassVar[int] = 0

    def __init__(self, values: Annotated[Mapping[Position, Annotated[float, Ge(0)]], MinLen(1)]) -> None:
        problems = [problem for at, rate in values.items() if (problem := _problem(at, rate))]
        if not values:
            problems.append(Problem("'DynamicLR' needs at least one learning rate", key="args.values"))
        positions = [int(at) for at in values] if not problems else []
        problems += [
            Problem(f"'DynamicLR' has two learning rates for position {at}", key=f"args.values.{at}")
            for at in sorted({at for at in positions if positions.count(at) > 1})
        ]
        if problems:
            raise ConfigError(problems)
        in_order = sorted((int(at), float(rate)) for at, rate in values.items())
        self.positions = [at for at, _ in in_order]
        self.rates = [rate for _, rate in in_order]

    def value(self, position: int) -> float | None:
        passed = bisect_right(self.positions, position)
        return self.rates[passed - 1] if passed else None

    @property
    def end(self) -> int:
        return self.positions[-1]


def _problem(at: object, rate: object) -> Problem | None:
    key = f"args.values.{at}"
    if not isinstance(at, int | str) or not _POSITION.fullmatch(str(at)):
        return Problem(
            "a position of 'DynamicLR' is not a whole number",
            key=key,
            found=repr(at),
            expected='0 or more, such as "40"',
            hint="positions count epochs (or updates, with unit batch) from the start of this scheduler",
        )
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < math.inf:
        return Problem(
            f"the learning rate of 'DynamicLR' at {at} cannot be used",
            key=key,
            found=repr(rate),
            expected="a finite number, 0 or more",
        )
    return None
