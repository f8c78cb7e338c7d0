"""Signals of several processes: what reaches one of them is answered by all, at the same step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TypeVar

from assay.trainer.signals import Signals, Stopped

__all__ = ["SharedSignals"]

Batch = TypeVar("Batch")

# A launcher hands on what its terminal has sent to all already: that is the same signal, and no second one. In seconds.
_ECHO = 5.0


class SharedSignals(Signals):
    """`received` is what all processes have agreed on; `own` what has reached this one.

    Before the first step, where nothing can be agreed on, a signal ends this process, and its end the others.

    Args:
        agree: the largest of the numbers that the processes give, which each of them calls at the same moment.
        tells: whether this process says that it has heard a signal.
    """

    def __init__(self, agree: Callable[[int], int], *, tells: bool) -> None:
        self.tells = tells
        self.own = self.agreed = 0
        self.knows = False
        """Whether it was agreed on since the last batch, beside something else."""
        self._agree, self._first = agree, 0.0
        super().__init__(interruptible=True)

    @property
    def received(self) -> int:
        return self.own if self.interruptible else self.agreed

    @received.setter
    def received(self, number: int) -> None:
        self.own = number

    def fetched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        iterator = iter(batches)
        while True:
            if not self.knows:
                self.agreed = self._agree(self.own)
            self.knows = False
            if self.agreed:
                raise Stopped
            try:
                batch = next(iterator)
            except StopIteration:
                return
            yield batch

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.own:
            if self._is_second(number):
                self._end(number)
            return
        self._first = time.monotonic()
        if (self.tells or self.interruptible) and not self.agreed:
            super()._handle(number, frame)
        else:
            self._is_second(number)
            self.own = number

    def _end(self, number: int) -> None:
        if time.monotonic() - (self._first or time.monotonic()) > _ECHO:
            super()._end(number)
