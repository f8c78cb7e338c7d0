"""Share of predictions that are right within the first k guesses."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from assay.errors import ConfigError, Problem
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.classes import target_classes
from assay.model.metrics.names import with_k

__all__ = ["TopKAccuracy"]


class TopKAccuracy(BaseMetric):
    """Share of samples whose class is among the k with the highest scores; recorded as `top<k>_accuracy`.

    Args:
        k: guesses, at least 1 and at most the number of classes.

    Raises:
        ConfigError: k is out of that range.
    """

    def __init__(self, k: Annotated[int, Ge(1)] = 5, num_classes: int | None = None, name: str | None = None) -> None:
        if k < 1 or (num_classes is not None and k > num_classes):
            expected = "at least 1" if num_classes is None else f"from 1 to {num_classes}, the number of classes"
            raise ConfigError.of(Problem("TopKAccuracy: k is out of range", None, "args.k", f"k = {k}", expected))
        super().__init__(name or with_k(k))
        self.k = k

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Right or wrong, shape (B, …), from scores (B, K, …) and targets (B, …) or (B, K, …)."""
        classes = target_classes(target, output)
        guesses = output.topk(self.k, dim=1).indices
        return (guesses == classes.unsqueeze(1)).any(dim=1)
