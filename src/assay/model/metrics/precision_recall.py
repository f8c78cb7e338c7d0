"""Precision, recall and their harmonic mean, with scikit-learn's averages."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from assay.model.metrics.base import BaseMetric
from assay.model.metrics.classes import predicted_classes, require_classes, target_classes
from assay.model.metrics.names import with_average

__all__ = ["F1", "Precision", "Recall"]

Average = Literal["macro", "micro", "weighted"]


class _PerClass(BaseMetric):
    """Counts per class; recorded under the class's name, and the average if it is not `macro`.

    As in scikit-learn with its defaults: a ratio with nothing below the line is 0, and classes that are
    neither among the targets nor among the predictions do not enter the macro average.

    Args:
        average: `macro`, the mean over classes; `weighted`, each class counting for its samples; `micro`,
            over all samples together (equal to the accuracy, as every sample has one class).
    """

    hits: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(self, num_classes: int, average: Average = "macro", name: str | None = None) -> None:
        super().__init__(name)
        self.name = name or with_average(self.name, average)
        self.average = average
        for state in ("hits", "predicted", "actual"):
            self.add_state(state, num_classes, dtype=torch.int64)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Scores (B, K, …) and targets (B, …) or (B, K, …)."""
        require_classes(output, len(self.hits))
        predicted = predicted_classes(output).flatten()
        actual = target_classes(target, output).flatten()
        ones = torch.ones_like(actual)
        self.hits.index_add_(0, actual, (predicted == actual).to(ones.dtype))
        self.predicted.index_add_(0, predicted, ones)
        self.actual.index_add_(0, actual, ones)

    def compute(self) -> Tensor:
        hits, predicted, actual = (state.to(torch.float64) for state in (self.hits, self.predicted, self.actual))
        if self.average == "micro":
            return self._ratio(hits.sum(), predicted.sum(), actual.sum())
        ratio = self._ratio(hits, predicted, actual)
        weight = actual if self.average == "weighted" else (predicted + actual > 0).to(ratio.dtype)
        return (ratio * weight).sum() / weight.sum()

    @abstractmethod
    def _ratio(self, hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        """The measure from counts of one class each, or of all."""


class Precision(_PerClass):
    """Of what was predicted as a class, the share that is of it."""

    def _ratio(self, hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return hits / predicted.clamp(min=1)


class Recall(_PerClass):
    """Of what is of a class, the share that was predicted as it."""

    def _ratio(self, hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return hits / actual.clamp(min=1)


class F1(_PerClass):
    """Harmonic mean of precision and recall of a class."""

    def _ratio(self, hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return 2 * hits / (predicted + actual).clamp(min=1)
