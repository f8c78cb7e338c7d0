"""The gradient of a whole batch from those of its micro-batches, scaled, checked and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from assay.model.accumulators import accumulator_dtype
from assay.model.losses.weighting import loss_is_sum
from assay.trainer.guard import refuse_gradient, refuse_rates
from assay.trainer.state import StepResult

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["prepare_gradients", "weight_of", "window_scale"]


def weight_of(result: StepResult, device: torch.device) -> float | Tensor:
    """What the loss of a micro-batch is a mean over."""
    weight = result.count if result.weight is None else result.weight
    # A count divided by a count is float32 in torch, which would cost half of a float64 gradient's digits.
    return weight.to(accumulator_dtype(device)) if isinstance(weight, Tensor) else weight


def window_scale(trainer: BaseTrainer, results: Sequence[StepResult], total: int) -> float | Tensor:
    """What makes the sum of the micro-batches' gradients that of the whole batch of `total` samples."""
    if trainer.accumulate == 1:
        return 1.0
    if loss_is_sum(trainer.loss):
        return float(total)
    weight: float | Tensor = 0.0
    for result in results:
        weight = weight + weight_of(result, trainer.device)
    return total / weight if isinstance(weight, Tensor) or weight else 1.0


def prepare_gradients(trainer: BaseTrainer, scale: float | Tensor) -> None:
    """Take the scaler's factor out, multiply by `scale`, refuse what is not finite, and clip.

    Raises:
        NonFiniteError: a learning rate is not finite; on a CPU, a gradient is not.
    """
    refuse_rates(trainer)
    groups = trainer.optimizer.param_groups
    gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    if trainer.scaler.is_enabled():
        trainer.scaler.unscale_(trainer.optimizer)
    if gradients and not (isinstance(scale, float) and scale == 1.0):
        factor = scale.to(gradients[0].dtype) if isinstance(scale, Tensor) else scale
        torch._foreach_mul_(gradients, factor)
    reads = trainer.reads_numbers and not trainer.scaler.is_enabled()
    if gradients and trainer.flag is not None:
        trainer.flag.look(gradients)
    if gradients and (trainer.clip is not None or reads):
        norm = nn.utils.get_total_norm(gradients)
        if reads:
            refuse_gradient(trainer, norm)
        if trainer.clip is not None:
            torch._foreach_mul_(gradients, (trainer.clip / (norm + 1e-6)).clamp(max=1.0))
