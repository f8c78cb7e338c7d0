"""The gradient of a whole batch from those of its micro-batches, scaled, checked and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from assay.model.accumulators import accumulator_dtype
from assay.model.losses.weighting import batch_scale
from assay.trainer.batches import tensors_of
from assay.trainer.guard import refuse_gradient, refuse_rates
from assay.trainer.state import StepResult
from assay.utils.sharded import own_part

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["gradient_of_nothing", "prepare_gradients", "weight_of", "window_scale"]


def weight_of(result: StepResult, device: torch.device) -> float | Tensor:
    """What the loss of a micro-batch is a mean over."""
    weight = result.count if result.weight is None else result.weight
    # A count divided by a count is float32 in torch, which would cost half of a float64 gradient's digits.
    return weight.to(accumulator_dtype(device)) if isinstance(weight, Tensor) else weight


def gradient_of_nothing(result: StepResult) -> Tensor:
    """A loss whose gradient is 0 wherever the model was. A process of whose samples none counts takes part in the
    backward pass all the same, since modules may speak to each other in it.
    """
    return sum(
        (tensor.sum() * 0.0 for tensor in tensors_of(result.output) if tensor.requires_grad), result.loss.new_zeros(())
    )


def window_scale(trainer: BaseTrainer, weights: Sequence[float | Tensor], total: int) -> float | Tensor:
    """What makes the sum of the micro-batches' gradients that of the whole batch of `total` samples.

    Args:
        weights: what the losses of this process's micro-batches are means over.
    """
    if trainer.is_whole:
        return 1.0
    weight: float | Tensor = 0.0
    for part in weights:
        weight = weight + part
    return batch_scale(trainer.loss, trainer.strategy.agree(trainer, weight), total)


def prepare_gradients(trainer: BaseTrainer, scale: float | Tensor | None) -> None:
    """Sum over the processes, take the scaler's factor out, multiply by `scale`, refuse what is not finite, and clip.

    Args:
        scale: None: the gradients are those of a mean over this process's part of the batch.

    Raises:
        NonFiniteError: a learning rate is not finite; on a CPU, a gradient is not.
    """
    refuse_rates(trainer)
    trainer.strategy.reduce(trainer, trainer.optimizer, is_mean=scale is None)
    scale = 1.0 if scale is None else scale
    groups = trainer.optimizer.param_groups
    whole = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    gradients = [own_part(gradient) for gradient in whole]
    if trainer.scaler.is_enabled():
        trainer.scaler.unscale_(trainer.optimizer)
    if gradients and not (isinstance(scale, float) and scale == 1.0):
        factor = scale.to(gradients[0].dtype) if isinstance(scale, Tensor) else scale
        torch._foreach_mul_(gradients, factor)
    reads = trainer.reads_numbers and not trainer.scaler.is_enabled()
    if gradients and trainer.flag is not None:
        trainer.flag.look(gradients)
    if gradients and (trainer.clip is not None or reads):
        norm = trainer.strategy.norm(whole)
        if reads:
            refuse_gradient(trainer, norm)
        if trainer.clip is not None:
            torch._foreach_mul_(gradients, (trainer.clip / (norm + 1e-6)).clamp(max=1.0))
