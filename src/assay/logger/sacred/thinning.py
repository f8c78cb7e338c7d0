"""Series of bounded length: every n-th point is kept, and n doubles when there are too many."""

from __future__ import annotations

import math
from array import array
from datetime import UTC, datetime

__all__ = ["Points", "Series", "moment"]


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as UTC without a zone, as Sacred and MongoDB keep times."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


class Points:
    """What is kept depends on the points alone, not on how they came in batches.

    The points with the numbers 0, `stride`, 2·`stride`, … are kept. Once there are more than `limit`, the stride
    doubles and every other point goes: between half of `limit` and `limit` remain, evenly spread.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.stride = 1
        self.last = -1
        self.steps, self.values, self.times = array("q"), array("d"), array("d")

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def mark(self) -> str:
        """The same for the same points, as long as a journal is only continued, or cut and continued."""
        return f"{self.stride}/{len(self)}/{self.last}/{self.times[-1] if self.times else 0!r}"

    def add(self, identity: int, time: float, step: int, value: float) -> None:
        """Take the next point, `identity` being that of its record."""
        if self.count % self.stride == 0:
            self.steps.append(step)
            self.values.append(value)
            self.times.append(time)
            self.last = identity
            if len(self.steps) > self.limit:
                self.stride *= 2
                self.steps, self.values, self.times = self.steps[::2], self.values[::2], self.times[::2]
        self.count += 1


class Series:
    """The measurements of one name; those that are not finite, which no tracker can plot, apart."""

    def __init__(self, limit: int) -> None:
        self.finite, self.odd = Points(limit), Points(limit // 10)

    @property
    def mark(self) -> str:
        return f"{self.finite.mark} {self.odd.mark}"

    @property
    def strides(self) -> tuple[int, int]:
        return self.finite.stride, self.odd.stride

    def add(self, identity: int, time: float, step: int, value: float) -> None:
        (self.finite if math.isfinite(value) else self.odd).add(identity, time, step, value)
