"""Components that cost nothing, constructed on trial: what their constructors say joins the other mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.check import Examined
from assay.errors import ConfigError, Problem
from assay.schedulers.sequence import Scheduled
from assay.schedulers.sequence import Sequence as SchedulerSequence
from assay.utils.devices import choose_device

__all__ = ["try_all", "try_optimizer", "try_schedulers"]

_CHEAP = ("loss", "metrics", "data")


def try_all(examined: Examined) -> list[Problem]:
    """What the machine says of the device, and the constructors of losses, metrics, transforms and optimizers of their
    arguments, where the signature has no objection.

    Only where a configuration has mistakes already: else everything is built, in its order.
    """
    problems: list[Problem] = []
    host = examined.source.data.get("host")
    device = host.get("device") if isinstance(host, Mapping) else None
    if isinstance(device, str) and device.startswith("cuda"):
        try:
            choose_device(device)
        except ConfigError as error:
            place = examined.source.place(("host", "device"))
            problems += [replace(problem, place=place) for problem in error.problems]
        except RuntimeError:  # no name of a device: the sections say so
            pass
    for at, bound in examined.components.items():
        if at in examined.faulty or bound.is_ready:
            continue
        try:
            if at == ("optimizer",):
                try_optimizer(bound)
            elif at[0] in _CHEAP and at[:2] not in (("data", "dataset"), ("data", "loader")) and _is_whole(bound):
                bound.build()
        except ConfigError as error:
            problems += error.problems
        except Exception:  # it is told when the rest is right
            continue
    return problems


def try_optimizer(bound: Bound) -> torch.optim.Optimizer:
    """The optimizer over one number.

    Raises:
        ConfigError: its constructor refuses the arguments.
    """
    optimizer = bound.build([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


def try_schedulers(schedulers: Sequence[Scheduled], epochs: object) -> None:
    """Make the schedulers and take their first steps, on paper.

    Raises:
        ConfigError: one of them refuses its arguments.
    """
    total = epochs if isinstance(epochs, int) and epochs > 0 else 10
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    SchedulerSequence(schedulers, optimizer, epochs_total=total, steps_total=total, direction="min")


def _is_whole(bound: Bound) -> bool:
    """Whether nothing is missing that only the data tells."""
    return all(not parameter.required or name in bound.args for name, parameter in bound.parameters.known.items())
