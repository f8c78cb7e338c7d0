"""Small optimizers, entries and walks that the tests of the schedulers share."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from assay.config.binding import Bound
from assay.schedulers.base import BaseScheduler, Unit
from assay.schedulers.dynamic import DynamicLR
from assay.schedulers.sequence import Scheduled, Sequence

EPOCHS, STEPS = 12, 3


class WarmHalf(lr_scheduler.LambdaLR):
    """Half the rate for some epochs, then all of it, as a user would write it."""

    def __init__(self, optimizer: Optimizer, epochs: int) -> None:
        super().__init__(optimizer, lambda epoch: 0.5 if epoch < epochs else 1.0)


class InverseRoot(BaseScheduler):
    def __init__(self, every: int = 1) -> None:
        self.every = every

    def value(self, position: int) -> float:
        return self.base / math.sqrt(1 + position // self.every)


class Hold(BaseScheduler):
    """A given rate for a given time."""

    def __init__(self, rate: float, length: int) -> None:
        self.rate, self.length = rate, length

    def value(self, position: int) -> float:
        return self.rate

    @property
    def end(self) -> int:
        return self.length


def entry(scheduler: Any, unit: Unit = "epoch", priority: int | None = None, **args: Any) -> Scheduled:
    obj = getattr(lr_scheduler, scheduler) if isinstance(scheduler, str) else scheduler
    return Scheduled(Bound(obj.__name__, obj, args), unit, priority)


def dynamic(unit: Unit = "epoch", priority: int | None = None, **values: float) -> Scheduled:
    """`dynamic(at0=0.1, at4=0.05)`."""
    return entry(DynamicLR, unit, priority, values={at.removeprefix("at"): rate for at, rate in values.items()})


def sgd(*lrs: float, own: float = 0.1, **kwargs: Any) -> SGD:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr} for lr in lrs or (own,)]
    return SGD(groups, lr=own, momentum=kwargs.pop("momentum", 0.9), **kwargs)


def boundaries(epochs: int = EPOCHS, steps: int = STEPS) -> Iterator[Unit]:
    for _ in range(epochs):
        yield "epoch"
        for _ in range(steps):
            yield "batch"


def rates_by_epoch(*entries: Scheduled, epochs: int = EPOCHS, optimizer: Optimizer | None = None) -> list[float]:
    """The first group's rate in every epoch, in a run that makes its updates."""
    optimizer = optimizer or sgd()
    sequence = Sequence(entries, optimizer, epochs_total=epochs, steps_total=epochs * STEPS)
    rates = []
    for _ in range(epochs):
        sequence.advance("epoch")
        for _ in range(STEPS):
            sequence.advance("batch")
            optimizer.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def rates_by_step(*entries: Scheduled, epochs: int = EPOCHS, optimizer: Optimizer | None = None) -> list[float]:
    optimizer = optimizer or sgd()
    sequence = Sequence(entries, optimizer, epochs_total=epochs, steps_total=epochs * STEPS)
    rates = []
    for unit in boundaries(epochs):
        sequence.advance(unit)
        if unit == "batch":
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
    return rates


def values(optimizer: Optimizer) -> list[dict[str, Any]]:
    """All that the groups hold, but their parameters."""
    return [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded
