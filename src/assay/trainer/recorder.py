"""From tensors on the device to lines in the journal; the trainer writes its measurements nowhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.model.accumulators import read_numbers
from assay.store.journal import Journal
from assay.trainer.state import Progress

__all__ = ["Recorder"]

_FLOAT = frozenset({float})


@dataclass
class _Pending:
    line: dict[str, Any]
    names: list[str]
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
        """Write what is pending, in order; without `wait`, only what has arrived."""
        while self._pending:
            first = self._pending[0]
            if wait:
                first.ready.synchronize()
            elif not first.ready.query():  # type: ignore[no-untyped-call]  # torch has no types here
                return
            self._pending.popleft()
            values = first.line["values"] | dict(zip(first.names, first.copy.tolist(), strict=True))
            self.journal.put(first.line | {"values": read_numbers(values)})
