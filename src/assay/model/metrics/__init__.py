"""Metrics that a configuration may name: assay's own, then those of torchmetrics."""

from __future__ import annotations

from assay.config.components import Family, Kind

__all__ = ["METRICS"]

METRICS = Kind(
    "metric",
    base=("assay.model.metrics.base:BaseMetric", "torchmetrics:Metric"),
    table={
        "Accuracy": "assay.model.metrics.accuracy:Accuracy",
        "ConfusionMatrix": "assay.model.metrics.confusion:ConfusionMatrix",
        "F1": "assay.model.metrics.precision_recall:F1",
        "Precision": "assay.model.metrics.precision_recall:Precision",
        "Recall": "assay.model.metrics.precision_recall:Recall",
        "TopKAccuracy": "assay.model.metrics.top_k:TopKAccuracy",
    },
    families=(
        Family("torchmetrics", ("__init__.py",)),
        Family("torchmetrics.classification", ("classification/__init__.py",)),
    ),
    runtime=frozenset({"num_classes", "task"}),
)
