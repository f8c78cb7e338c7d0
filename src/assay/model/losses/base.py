"""What a loss promises: `forward(output, target)` gives one number that can be differentiated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

__all__ = ["BaseLoss"]


class BaseLoss(nn.Module, ABC):
    """A loss of one's own; any loss of torch fits as well.

    Attributes:
        unit: of the value, e.g. `nat` for a cross-entropy.
        reduction: `mean`, or `sum` for a loss whose value is a sum over its samples.
    """

    unit: str = "1"
    reduction: str = "mean"

    @abstractmethod
    def forward(self, output: Any, target: Any) -> Tensor:
        """The loss of a batch, shape (): a mean over its samples (or a sum; see `reduction`)."""

    def weight_of(self, target: Any, count: int) -> Tensor | float:
        """What the value is a mean over: the number of samples, where a subclass does not say otherwise."""
        return float(count)
