"""From tensors on the device to lines in the journal; the trainer writes its measurements nowhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.store.journal import Journal
from assay.trainer.state import Progress

__all__ = ["Recorder", "read_values"]


def read_values(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Numbers from scalars on the device, in one transfer (and one wait)."""
    numbers, stacked = _stack(values)
    return _numbers(values, numbers, stacked.tolist() if stacked is not None else [])


def _stack(values: Mapping[str, Tensor | float]) -> tuple[dict[str, float], Tensor | None]:
    numbers = {name: float(value) for name, value in values.items() if not isinstance(value, Tensor)}
    tensors = [_wide(value.detach()) for value in values.values() if isinstance(value, Tensor)]
    return numbers, torch.stack(tensors) if tensors else None


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.device.type == "mps" else value.double()  # Apple's GPUs have no float64


def _numbers(values: Mapping[str, Tensor | float], numbers: dict[str, float], read: list[float]) -> dict[str, float]:
    rest = iter(read)
    return {name: numbers[name] if name in numbers else next(rest) for name in values}


@dataclass
class _Pending:
    line: dict[str, Any]
    values: Mapping[str, Tensor | float]
    numbers: dict[str, float]
    copy: Tensor
    ready: torch.cuda.Event


class Recorder:
    """Writes records in order. On a CUDA device the numbers are copied beside the training and written when the copy
    is done, some steps later, so that no step waits for one; on a CPU reading a number is free.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._pending: deque[_Pending] = deque()

    def record(
        self,
        phase: str,
        progress: Progress,
        values: Mapping[str, Tensor | float],
        media: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        line: dict[str, Any] = {
            "phase": phase,
            "epoch": progress.epoch,
            "step": progress.step,
            "samples": progress.samples,
            "media": media or None,
            "time": time.time(),
        }
        numbers, stacked = _stack(values)
        if stacked is not None and stacked.device.type == "cuda":
            copy = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            copy.copy_(stacked, non_blocking=True)
            ready = torch.cuda.current_stream(stacked.device).record_event()
            self._pending.append(_Pending(line, dict(values), numbers, copy, ready))
            self.flush(wait=False)
            return
        self.flush()
        self.journal.append(**line, values=_numbers(values, numbers, stacked.tolist() if stacked is not None else []))

    def flush(self, wait: bool = True) -> None:
        """Write what is pending, in order; without `wait`, only what has arrived."""
        while self._pending:
            first = self._pending[0]
            if wait:
                first.ready.synchronize()
            elif not first.ready.query():  # type: ignore[no-untyped-call]  # torch has no types here
                return
            self._pending.popleft()
            self.journal.append(**first.line, values=_numbers(first.values, first.numbers, first.copy.tolist()))
