"""Where a run stands: what the loop counts, what a step gives it, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from assay.config.durations import Duration
from assay.data.loaders.base import BaseLoader
from assay.schedulers.sequence import Scheduled
from assay.trainer.strategy.base import Strategy

__all__ = ["Parts", "Progress", "StepResult", "due"]


@dataclass(slots=True)
class StepResult:
    """What one pass over one (micro-)batch gives; everything stays on the device.

    Args:
        loss: a scalar.
        output, target: what the metrics compare; may be nested.
        count: the number of samples.
        weight: what the loss is a mean over (a number or a scalar tensor); None: `count`.
        values: more scalars to record, each a mean over the samples.
    """

    loss: Tensor
    output: Any
    target: Any
    count: int
    weight: float | Tensor | None = None
    values: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Progress:
    """Position and counters. `batch` counts the batches of this epoch that were consumed, never those fetched.

    `attached` is what waits for the next record, by phase; `pending` are the evaluations that are still to be made
    after the last update, `measured` the phases that are recorded for it.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    samples: int = 0
    monitored: float | None = None
    tested_step: int = -1
    best_samples: int = 0
    last: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    attached: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def take_monitored(self) -> float | None:
        """The monitored value of the newest validation, once."""
        value, self.monitored = self.monitored, None
        return value

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restored(cls, state: Any) -> Progress:
        """What `state_dict` gave.

        Raises:
            ValueError: a field is missing, unknown or of another type, or a count is negative.
        """
        held = TypeAdapter(cls).validate_python(state)
        if other := state.keys() ^ held.state_dict().keys():
            raise ValueError(f"progress lacks, or has without need: {', '.join(sorted(other))}")
        for name in ("epoch", "batch", "step", "samples", "best_samples"):
            if getattr(held, name) < 0:
                raise ValueError(f"progress.{name} is {getattr(held, name)}")
        return held


def due(every: Duration | None, progress: Progress, end_of_epoch: bool) -> bool:
    """Whether something that happens every so often falls on this update."""
    if every is None:
        return False
    if every.unit == "ep":
        return end_of_epoch and (progress.epoch + 1) % every.amount == 0
    return progress.step % every.amount == 0


@dataclass
class Parts:
    """Everything that a trainer works with; the experiment builds it from the configuration."""

    seed: int
    device: torch.device
    precision: str
    memory_format: torch.memory_format
    compile: bool
    model: nn.Module
    loss: nn.Module
    metrics: Sequence[nn.Module]
    optimizer: torch.optim.Optimizer
    schedulers: Sequence[Scheduled]
    train_data: BaseLoader
    validation_data: BaseLoader | None
    test_data: BaseLoader | None
    validation_every: Duration
    testing_every: Duration | None
    logging_every: Duration
    strategy: Strategy = field(default_factory=Strategy)
