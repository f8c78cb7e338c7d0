"""What one step adds to the sums of a phase: worked out once, for every phase that it counts in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from assay.errors import ConfigError, Problem
from assay.model.losses.weighting import loss_total

__all__ = ["Reading", "Step", "detached", "host_number", "loss_part", "require_number"]


class Step(Protocol):
    """What one pass over a batch gives (the trainer's `StepResult`); everything may be on the device.

    `weight` is what `loss` is a mean over (None: `count`); `values` are further means over the `count`
    samples.
    """

    loss: Tensor
    output: Any
    target: Any
    count: int
    weight: float | Tensor | None
    values: dict[str, Tensor]


@dataclass(slots=True)
class Reading:
    """What a set of metrics takes from a step.

    Args:
        count: samples.
        means: the loss and the values of the step, by name.
        loss_weight: what the loss is a mean over; the values are means over the samples.
        sums: of the metrics that are means: the total and the number that it is over.
        output, target: what the other metrics look at.
        is_void: another process counts these samples.
    """

    count: int
    means: dict[str, Tensor | float] = field(default_factory=dict)
    loss_weight: Tensor | float = 0.0
    sums: dict[str, tuple[Tensor | float, int]] = field(default_factory=dict)
    output: Any = None
    target: Any = None
    is_void: bool = False

    def void(self) -> Reading:
        """The same names with nothing to them, of what another process counts."""
        names: dict[str, Tensor | float] = dict.fromkeys(self.means, 0.0)
        return Reading(0, names, 0.0, dict.fromkeys(self.sums, (0.0, 0)), is_void=True)

    def parts(self) -> Iterator[tuple[str, Tensor | float, Tensor | float]]:
        """Name, total and weight of all that is summed."""
        count = self.count
        for name, mean in self.means.items():
            if name == "loss":
                yield name, _total(mean, self.loss_weight), self.loss_weight
            else:
                yield name, mean * count, count
        for name, (total, number) in self.sums.items():
            yield name, total, number

    def scalars(self) -> dict[str, Tensor | float]:
        """What a phase of this step alone has measured."""
        if not self.sums:
            return self.means.copy()
        return self.means | {
            name: total / number if number else total * math.nan for name, (total, number) in self.sums.items()
        }


def _total(mean: Tensor | float, weight: Tensor | float) -> Tensor | float:
    if isinstance(mean, Tensor):
        return loss_total(mean, weight)
    return mean * weight if weight else 0.0  # where no target counts the loss is 0 / 0


def loss_part(step: Step, wide: torch.dtype, *, is_sum: bool, host: bool) -> tuple[Tensor | float, Tensor | float]:
    """The loss of a step and what it is a mean over.

    Args:
        wide: what a tensor is summed in.
        is_sum: the loss is a sum over the samples.
        host: numbers are read at once.

    Raises:
        ConfigError: the loss is more than one number.
    """
    weight = step.count if step.weight is None else step.weight
    if not host or step.loss.ndim:
        loss: Tensor | float = loss_total(step.loss.to(wide), 1.0)  # told where it is more than one number
    else:
        loss, weight = step.loss.item(), float(weight)
    return (loss / step.count, step.count) if is_sum else (loss, weight)


def host_number(name: str, value: Tensor | float) -> float:
    """
    Raises:
        ConfigError: it is more than one number.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            require_number(name, value)
        return float(value.item())
    return float(value)


def require_number(name: str, value: Tensor) -> Tensor:
    """The value in the shape ().

    Raises:
        ConfigError: it is more than one number.
    """
    if value.numel() == 1:
        return value.reshape(())
    raise ConfigError.of(
        Problem(
            f"the value {name!r} of a training step is not one number",
            key="trainer",
            found=f"a tensor of shape {tuple(value.shape)}",
            expected="shape ()",
            hint="give its mean over the samples",
        )
    )


def detached(nested: Any) -> Any:
    """The same without the graph of the training step."""
    if isinstance(nested, Tensor):
        return nested.detach()
    if isinstance(nested, Mapping):
        return {name: detached(value) for name, value in nested.items()}
    if isinstance(nested, tuple) and hasattr(nested, "_fields"):
        return type(nested)(*(detached(value) for value in nested))
    if isinstance(nested, (list, tuple)):
        return type(nested)(detached(value) for value in nested)
    return nested
