"""Cross-entropy against distributions over the classes."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from assay.errors import ConfigError, Problem
from assay.model.losses.base import BaseLoss

__all__ = ["SoftCrossEntropyLoss"]


class SoftCrossEntropyLoss(BaseLoss):
    """Cross-entropy that takes class indices, or a distribution over the classes as mixup makes them.

    With smoothing ε a target t becomes (1 - ε) t + ε / K. Sources: label smoothing, Szegedy et al., 2016,
    https://arxiv.org/abs/1512.00567; mixup, Zhang et al., 2018, https://arxiv.org/abs/1710.09412.

    Args:
        smoothing: ε, in [0, 1).

    Raises:
        ConfigError: ε is outside [0, 1).
    """

    unit = "nat"

    def __init__(self, smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            problem = Problem(
                f"smoothing cannot be {smoothing}", key="loss.args.smoothing", expected="a number in [0, 1)"
            )
            raise ConfigError.of(problem)
        self.smoothing = smoothing

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean, shape (), for scores (B, K, …) against indices (B, …) or distributions (B, K, …)."""
        log_likelihood = output.log_softmax(dim=1)
        if target.is_floating_point():
            hit = (target * log_likelihood).sum(dim=1)
        else:
            hit = log_likelihood.gather(1, target.unsqueeze(1)).squeeze(1)
        if self.smoothing:
            hit = (1 - self.smoothing) * hit + self.smoothing * log_likelihood.mean(dim=1)
        return -hit.mean()

    def extra_repr(self) -> str:
        return f"smoothing={self.smoothing}"
