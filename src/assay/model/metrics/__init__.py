"""Metrics that a configuration may name: assay's own, then those of torchmetrics."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind
from assay.model.metrics.names import configured_name

__all__ = ["METRICS"]

# Bases, collections, and those that are made of other metrics or of functions: a configuration cannot give them these.
_NOT_NAMED = r"Metric|MetricCollection|MetricTracker|BootStrapper|MinMaxMetric|PermutationInvariantTraining|\w+Wrapper"

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
        Family("torchmetrics", ("__init__.py",), rf"(?!(?:{_NOT_NAMED})$)[A-Z]\w*"),
        Family("torchmetrics.classification", ("classification/__init__.py",)),
    ),
    runtime=frozenset({"num_classes", "task"}),
    measures=configured_name,
    limits={
        "beta": Interval(gt=0),
        "max_fpr": Interval(gt=0, le=1),
        "min_precision": Interval(ge=0, le=1),
        "min_recall": Interval(ge=0, le=1),
        "min_sensitivity": Interval(ge=0, le=1),
        "min_specificity": Interval(ge=0, le=1),
        "n_bins": Interval(ge=1),
        "num_classes": Interval(ge=2),
        "num_labels": Interval(ge=2),
        "num_outputs": Interval(ge=1),
        "top_k": Interval(ge=1),
        "threshold": Interval(ge=0, le=1),
        "window": Interval(ge=1),
    },
)
