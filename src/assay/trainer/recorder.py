"""From tensors on the device to lines in the journal; the trainer writes its measurements nowhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.model.accumulators import read_numbers
from assay.model.metrics.reading import Reading
from assay.store.journal import Journal
from assay.trainer.state import Progress

__all__ = ["Recorder", "by_name"]

_FLOAT = frozenset({float})

# After a step of torch no code and no data is in the processor's caches: a write costs 20 µs there, and 3 µs a record
# where several follow each other. More than this many records, or older ones, never wait.
_WAITING, _SECONDS = 128, 0.05


@dataclass
class _Pending:
    line: dict[str, Any]
    names: list[str]
    copy: Tensor
    ready: torch.cuda.Event


class Recorder:
    """Writes records in order. On a CUDA device the numbers are copied beside the training and written when the copy
    is done, some steps later, so that no step waits for one; on a CPU reading a number is free.

    Records of steps that follow each other within 50 ms are written together: a SIGKILL takes no more than those of the
    last 50 ms, of steps that a resume makes again.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._pending: deque[_Pending] = deque()
        self._steps: list[tuple[float, int, int, int, Reading, Sequence[Tensor | float]]] = []
        self._written = 0.0

    def step(self, progress: Progress, reading: Reading, rates: Sequence[Tensor | float]) -> None:
        """A record of the step alone that was just made; its numbers are on the host.

        Args:
            rates: the learning rates of the optimizer's groups.
        """
        now = time.time()
        self._steps.append((now, progress.epoch, progress.step, progress.samples, reading, rates))
        # A clock that was set back is no reason to wait for it.
        if not 0 <= now - self._written < _SECONDS or len(self._steps) == _WAITING:
            self._written = now
            self._write_steps()

    def record(
        self,
        phase: str,
        progress: Progress,
        values: Mapping[str, Tensor | float],
        media: Mapping[str, dict[str, Any]] | None = None,
        *,
        on_host: bool = False,
    ) -> None:
        """One record of now.

        Args:
            on_host: none of the values is on a device; else each is looked at.
        """
        line: dict[str, Any] = {
            "id": -1,
            "time": time.time(),
            "phase": phase,
            "epoch": progress.epoch,
            "step": progress.step,
            "samples": progress.samples,
            "values": values,
        }
        if media:
            line["media"] = media
        if self._steps:
            self._write_steps()
        names: list[str] = []
        if not on_host and not _FLOAT.issuperset(map(type, values.values())):
            names = [name for name, value in values.items() if isinstance(value, Tensor) and value.is_cuda]
            line["values"] = dict(values) if names else read_numbers(values)
        if not names:
            if self._pending:
                self.flush()
            self.journal.put(line)
            return
        stacked = torch.stack([torch.as_tensor(values[name]).detach().double().reshape(()) for name in names])
        copy = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
        copy.copy_(stacked, non_blocking=True)
        ready = torch.cuda.current_stream(stacked.device).record_event()
        self._pending.append(_Pending(line, names, copy, ready))
        self.flush(wait=False)

    def flush(self, wait: bool = True) -> None:
        """Write what is pending, in order; without `wait`, only what has arrived from a device."""
        if wait and self._steps:
            self._write_steps()
        while self._pending:
            first = self._pending[0]
            if wait:
                first.ready.synchronize()
            elif not first.ready.query():  # type: ignore[no-untyped-call]  # torch has no types here
                return
            self._pending.popleft()
            values = first.line["values"] | dict(zip(first.names, first.copy.tolist(), strict=True))
            self.journal.put(first.line | {"values": read_numbers(values)})

    def _write_steps(self) -> None:
        steps, self._steps = self._steps, []  # what a disk refuses is told once
        self.journal.put(
            *(
                {
                    "id": -1,
                    "time": now,
                    "phase": "batch",
                    "epoch": epoch,
                    "step": step,
                    "samples": samples,
                    "values": {**reading.scalars(), **by_name(rates)},
                }
                for now, epoch, step, samples, reading, rates in steps
            )
        )


def by_name(rates: Sequence[Tensor | float]) -> dict[str, Tensor | float]:
    """`learning_rate`, or one of each group."""
    if len(rates) == 1:
        return {"learning_rate": rates[0]}
    return {f"learning_rate/{number}": rate for number, rate in enumerate(rates)}
