"""What stops a run before an update that would put numbers into the weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from assay.errors import NonFiniteError, few
from assay.utils.sharded import own_part

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["Flag", "refuse_gradient", "refuse_loss", "refuse_rates", "require_finite"]

# Where float16 overflows at a scale as small as this one, no scale will help.
_LEAST_SCALE = 2.0**-24


class Flag:
    """On a device that is not read at every step: whether a gradient was not finite, and since how many updates.

    Once raised it stays. A fused optimizer looks at it and leaves the weights as they are from there on; with another
    one the run falls back to its last checkpoint.

    Args:
        spread: raises it where another process has raised its own.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, device: torch.device, spread: Callable[[Tensor], None] | None = None
    ) -> None:
        self._spread = spread
        self.found = torch.zeros((), device=device)
        self._updates = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)
        self.in_one_pass = device.type in ("cpu", "cuda")  # others may not have the kernel
        self.freezes = all(group.get("fused") is True for group in optimizer.param_groups)
        if self.freezes:
            optimizer.found_inf = self.found  # type: ignore[attr-defined]  # what a GradScaler tells it by

    def look(self, gradients: Sequence[Tensor]) -> None:
        """One pass over them, as a GradScaler makes it with a scale of 1; nothing waits for the device."""
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for gradient in gradients:
            held = gradient._values() if gradient.is_sparse else gradient
            if held.device == self.found.device:
                kinds.setdefault(held.dtype, []).append(torch.view_as_real(held) if held.is_complex() else held)
        for alike in kinds.values():
            if self.in_one_pass:
                torch._amp_foreach_non_finite_check_and_unscale_(alike, self.found, self._one)
            else:
                finite = torch.isfinite(nn.utils.get_total_norm(alike))
                self.found.copy_(torch.where(finite, self.found, self._one))
        if self._spread is not None:
            self._spread(self.found)
        self._updates.add_(self.found)

    def read(self) -> int:
        """How many updates there were since, the first of them included; it waits for the device."""
        return int(self._updates.item())


def refuse_rates(trainer: BaseTrainer) -> None:
    """Raises NonFiniteError where a learning rate of the host is NaN or infinite."""
    for number, group in enumerate(trainer.optimizer.param_groups):
        rate = group.get("lr", 0.0)
        if rate.__class__ is float and not math.isfinite(rate):
            _refuse(trainer, f"the learning rate is {rate}", f"parameter group {number}")


def refuse_loss(trainer: BaseTrainer, loss: Tensor) -> None:
    """Raises NonFiniteError where the loss of this step, a scalar, is NaN or infinite. It reads the number."""
    if not math.isfinite(value := loss.item()):
        _refuse(trainer, f"the loss is {value}")


def refuse_gradient(trainer: BaseTrainer, norm: Tensor, name: str = "") -> None:
    """Raises NonFiniteError where the norm of all gradients, a scalar, is NaN or infinite. It reads the number.

    Args:
        name: of the gradient that is not finite, where it is known.
    """
    if not math.isfinite(norm.item()):
        name = name or _first_bad_gradient(trainer)
        _refuse(trainer, "the gradient is not finite" if name else "the norm of the gradient overflows", name)


def require_finite(trainer: BaseTrainer) -> None:
    """What the steps did not look at themselves: the flag of the device, and a loss scale that has collapsed.

    Raises:
        NonFiniteError: a gradient was not finite, some updates ago.
    """
    if trainer.flag is not None and (updates := trainer.flag.read()):
        since = "no update was made since" if trainer.flag.freezes else "no checkpoint holds the weights since then"
        _refuse(trainer, "the gradient was not finite", _first_bad_gradient(trainer), since, updates)
    if trainer.scaler.is_enabled() and trainer.scaler.get_scale() < _LEAST_SCALE:
        since = "float16 cannot hold the gradient at any loss scale, so no update is made any more"
        _refuse(trainer, "the gradient is not finite", _first_bad_gradient(trainer), since)


def _refuse(
    trainer: BaseTrainer, what: str, where: str = "", then: str = "the update was not made", updates: int = 0
) -> NoReturn:
    """Of the update that is being made, or of the first of the last `updates`."""
    progress = trainer.progress
    epoch, batch, step = progress.epoch, progress.batch, progress.step - updates
    if updates:
        epoch, batch = divmod(step, len(trainer.parts.train_data))
    rows = trainer.parts.train_data.rows(epoch, batch)
    raise NonFiniteError(
        f"{what} at step {step} (epoch {epoch}, batch {batch}); {then}",
        where=where,
        found=f"samples {few(rows)}" if rows else "",
        hint="lower the learning rate, clip the gradient (`trainer.args.clip`), or look at these samples",
    )


def _first_bad_gradient(trainer: BaseTrainer) -> str:
    """A gradient that is not finite makes those of the layers before it so: the last layer with one is the first."""
    bad = ""
    for name, parameter in trainer.model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(own_part(parameter.grad)).all():
            bad = f"{name}.grad"
    return bad
