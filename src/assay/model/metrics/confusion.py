"""Which class is taken for which."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.model.metrics.base import BaseMetric
from assay.model.metrics.classes import predicted_classes, require_classes, target_classes

__all__ = ["ConfusionMatrix"]


class ConfusionMatrix(BaseMetric):
    """Samples of class i (row) that were predicted as class j (column), shape (K, K), int64."""

    unit = "samples"
    higher_is_better = None

    matrix: Tensor

    def __init__(self, num_classes: int, name: str | None = None) -> None:
        super().__init__(name)
        self.add_state("matrix", num_classes, num_classes, dtype=torch.int64)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Scores (B, K, …) and targets (B, …) or (B, K, …)."""
        require_classes(output, len(self.matrix))
        cells = target_classes(target, output) * len(self.matrix) + predicted_classes(output)
        # Not bincount: on a GPU it waits for the largest value.
        self.matrix.view(-1).index_add_(0, cells.flatten(), torch.ones_like(cells).flatten())

    def compute(self) -> Tensor:
        return self.matrix.clone()
