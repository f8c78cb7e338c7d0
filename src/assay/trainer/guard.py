"""What stops a run before an update that would put numbers into the weights that are not finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor

from assay.errors import NonFiniteError

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["refuse_gradient", "refuse_loss"]


def refuse_loss(trainer: BaseTrainer, loss: Tensor) -> None:
    """Raises NonFiniteError where the loss of this step, a scalar, is NaN or infinite. It reads the number."""
    if not math.isfinite(value := loss.item()):
        _refuse(trainer, f"the loss is {value}", "")


def refuse_gradient(trainer: BaseTrainer, norm: Tensor) -> None:
    """Raises NonFiniteError where the norm of all gradients, a scalar, is NaN or infinite. It reads the number."""
    if not math.isfinite(norm.item()):
        _refuse(trainer, "the gradient is not finite", _first_bad_gradient(trainer))


def _refuse(trainer: BaseTrainer, what: str, where: str) -> NoReturn:
    progress = trainer.progress
    data = trainer.parts.train_data
    size = data.batch_size or 1
    positions = data.order(progress.epoch)[progress.batch * size : (progress.batch + 1) * size]
    rows = data.samples.indices[positions].tolist()
    raise NonFiniteError(
        f"{what} at step {progress.step} (epoch {progress.epoch}, batch {progress.batch}); the update was not made",
        where=where,
        found=f"samples {', '.join(str(row) for row in rows[:8])}{', …' if len(rows) > 8 else ''}",
        hint="lower the learning rate, clip the gradient (`trainer.args.clip`), or look at these samples",
    )


def _first_bad_gradient(trainer: BaseTrainer) -> str:
    for name, parameter in trainer.model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"{name}.grad"
    return ""
