"""Readings that may be expensive, taken only as often as they are worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Paced"]

T = TypeVar("T")


class Paced(Generic[T]):
    """A reading that takes at most a share of one core; between two of them the last one holds.

    Sensors behind a slow bus, dozens of GPUs or thousands of threads can cost milliseconds each time.

    Args:
        reading: what is read.
        share: CPU time of this thread over time by the clock.
    """

    def __init__(self, reading: Callable[[], T], share: float = 1e-3) -> None:
        self.reading = reading
        self.share = share
        self._again = 0.0
        self._value: T

    def __call__(self) -> T:
        if (moment := time.monotonic()) >= self._again:
            begin = time.thread_time()
            self._value = self.reading()
            self._again = moment + (time.thread_time() - begin) / self.share
        return self._value
