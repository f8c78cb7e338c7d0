"""What the value of a loss on a part of the data counts for, so that parts add up to the whole exactly.

A batch that is cut into micro-batches, and an epoch that is cut into batches, must give the loss and the
gradient of the whole. The mean of the parts' means does not, for a last part that is shorter, or with class
weights or ignored targets, where torch divides by the sum of the weights of those targets that count. A
trainer therefore does

    weight = loss_weight(loss, target, count)
    loss_total(value, weight).backward()          # for every micro-batch: gradients of sums
    gradient /= 1 if loss_is_sum(loss) else sum of the weights

and a `MetricSet` the same for the value. A loss with `reduction="sum"` is a sum already: its weight is 1 and
nothing is divided for the gradient; what is recorded of it is the mean per sample, which does not depend on
the batch size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import ConfigError, Problem
from assay.model.accumulators import accumulator_dtype
from assay.model.losses.base import BaseLoss

__all__ = ["batch_scale", "loss_is_sum", "loss_total", "loss_weight"]


def loss_weight(loss: nn.Module, target: Any, count: int) -> Tensor | float:
    """What the value of `loss` on this batch is a mean over; 1.0 where the value is a sum.

    For `CrossEntropyLoss` and `NLLLoss` with class indices: the sum of the class weights of the targets that
    are not ignored, a scalar on the device (nothing waits for it). For a `BaseLoss`: what its `weight_of`
    says. Else `count`.
    """
    loss = _unwrapped(loss)
    if loss_is_sum(loss):
        return 1.0
    if isinstance(loss, BaseLoss):
        return loss.weight_of(target, count)
    if isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)) and _is_torchs_own(loss) and _is_indices(target):
        return _counted_weight(target, loss.weight, loss.ignore_index)
    return float(count)


def loss_is_sum(loss: nn.Module) -> bool:
    """Whether the value is a sum over the samples and not a mean."""
    return getattr(_unwrapped(loss), "reduction", "mean") == "sum"


def loss_total(value: Tensor, weight: Tensor | float) -> Tensor:
    """The sum that a loss value stands for, shape (); differentiable.

    A batch in which no target counts has the value 0 / 0: it stands for nothing, and adds 0.

    Raises:
        ConfigError: the loss gives more than one number.
    """
    if value.ndim:
        raise ConfigError.of(
            Problem(
                "the loss must give one number for a batch",
                key="loss",
                found=f"a tensor of shape {tuple(value.shape)}",
                expected="shape ()",
                hint='leave `reduction` at "mean"',
            )
        )
    if isinstance(weight, Tensor):
        # A weight that is wider than the value must not widen it: the gradient would be scaled in another
        # precision.
        return torch.where(weight > 0, value * weight.to(value.dtype), 0.0)
    return value * weight if weight else torch.where(torch.zeros_like(value, dtype=torch.bool), value, 0.0)


def batch_scale(loss: nn.Module, weight: Tensor | float, total: int) -> Tensor | float:
    """What makes a sum of the gradients of micro-batches that of their whole batch of `total` samples.

    Args:
        weight: what the losses of all micro-batches are means over.
    """
    if loss_is_sum(loss):
        return float(total)
    return total / weight if isinstance(weight, Tensor) or weight else 1.0


def _counted_weight(target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor | float:
    counted = target != ignore_index
    if weight is None:
        total = counted.sum()
    else:
        weights = weight[torch.where(counted, target, 0)]
        total = torch.where(counted, weights, 0.0).sum(dtype=accumulator_dtype(weights.device))
    # Reading a number of the host is free, and cheaper than reckoning with it as a tensor.
    return float(total) if total.device.type == "cpu" else total


def _is_indices(target: Any) -> bool:
    return isinstance(target, Tensor) and not target.is_floating_point()


def _is_torchs_own(loss: nn.Module) -> bool:
    """A subclass with its own forward (a focal loss, say) divides by whatever it likes."""
    return type(loss).forward in (nn.CrossEntropyLoss.forward, nn.NLLLoss.forward)


def _unwrapped(loss: nn.Module) -> nn.Module:
    return getattr(loss, "_orig_mod", loss)
