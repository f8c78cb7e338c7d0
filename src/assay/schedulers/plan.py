"""The learning rates of a whole run, worked out on paper: no model, no data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.optim import Optimizer

from assay.schedulers import groups as parameter_groups
from assay.schedulers.base import Unit
from assay.schedulers.sequence import Direction, Scheduled
from assay.schedulers.sequence import Sequence as Line

__all__ = ["Planned", "Stretch", "plan", "stretches"]


@dataclass(frozen=True)
class Planned:
    """The rate of every parameter group for the update `step` of `epoch`, and the schedulers that set it."""

    epoch: int
    step: int
    rates: tuple[float, ...]
    holder: tuple[str, ...]


@dataclass(frozen=True)
class Stretch:
    """Epochs in a row in which the same schedulers set the rates: those at the first and at the last of them."""

    first: int
    last: int
    start: tuple[float, ...]
    end: tuple[float, ...]
    holder: tuple[str, ...]


class _Paper(Optimizer):
    """An optimizer with groups and defaults, and one number to train in each group."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> None:
        own = [
            {key: _copy(value) for key, value in group.items() if key not in ("params", "param_names")}
            for group in groups
        ]
        super().__init__([{**group, "params": [torch.zeros(())]} for group in own], dict(defaults))

    def step(self, closure: Any = None) -> Any:
        return None


def plan(
    entries: Sequence[Scheduled],
    groups: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, Any] | None = None,
    *,
    epochs: int,
    steps_per_epoch: int,
    max_steps: int | None = None,
    every: Unit = "epoch",
    direction: Direction = "min",
    monitored: Sequence[float | None] = (),
) -> list[Planned]:
    """The rates at the first update of every epoch, or at every update.

    Args:
        entries: the schedulers in the order of the configuration.
        groups: the parameter groups, e.g. `optimizer.param_groups` or `[{"lr": 0.1}]`.
        defaults: the optimizer's own values, e.g. `optimizer.defaults`; those of the first group by default.
        max_steps: the run ends after as many updates, whatever `epochs` says.
        every: one row an epoch or one row an update.
        monitored: what the validation after each epoch will give; without it a plateau never comes.
    """
    first = {key: value for key, value in groups[0].items() if key not in ("params", "param_names")}
    steps = epochs * steps_per_epoch if max_steps is None else min(max_steps, epochs * steps_per_epoch)
    epochs = min(epochs, math.ceil(steps / steps_per_epoch))
    optimizer = _Paper(groups, first if defaults is None else defaults)
    sequence = Line(entries, optimizer, epochs_total=epochs, steps_total=steps, direction=direction)
    rows: list[Planned] = []
    for epoch in range(epochs):
        sequence.advance("epoch", monitored[epoch - 1] if 0 < epoch <= len(monitored) else None)
        for step in range(epoch * steps_per_epoch, min((epoch + 1) * steps_per_epoch, steps)):
            sequence.advance("batch")
            if every == "batch" or step == epoch * steps_per_epoch:
                rates = tuple(parameter_groups.rates(optimizer))
                rows.append(Planned(epoch, step, rates, sequence.holder))
    return rows


def stretches(rows: Sequence[Planned]) -> list[Stretch]:
    """A plan by epochs in brief."""
    found: list[Stretch] = []
    for row in rows:
        if found and found[-1].holder == row.holder:
            found[-1] = replace(found[-1], last=row.epoch, end=row.rates)
        else:
            found.append(Stretch(row.epoch, row.epoch, row.rates, row.rates, row.holder))
    return found


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
