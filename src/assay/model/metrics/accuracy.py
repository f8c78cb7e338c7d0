"""Share of right predictions."""

from __future__ import annotations

from torch import Tensor

from assay.model.metrics.base import BaseMetric
from assay.model.metrics.classes import predicted_classes, target_classes

__all__ = ["Accuracy"]


class Accuracy(BaseMetric):
    """Share of samples (of pixels, for dense targets) whose highest score is that of their class."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Right or wrong, shape (B, …), from scores (B, K, …) and targets (B, …) or (B, K, …)."""
        return predicted_classes(output) == target_classes(target, output)
