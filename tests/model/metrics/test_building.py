from __future__ import annotations

from pathlib import Path

import pytest

from assay.config.binding import Bound
from assay.config.components import Allowed, find
from assay.errors import ConfigError
from assay.model.metrics import METRICS
from assay.model.metrics.building import build_metrics
from assay.model.metrics.top_k import TopKAccuracy


def bound(name, **args):
    return Bound(name, find(METRICS, name, Allowed(Path("."))), args, key="metrics.0")


def test_metrics_learn_the_number_of_classes_from_the_data():
    names = ["Accuracy", "F1", "ConfusionMatrix", "F1Score", "AUROC", "MulticlassRecall", "MeanSquaredError"]
    metrics = build_metrics([bound(name) for name in names], classes=3)
    assert [metric.name for metric in metrics] == [
        "accuracy",
        "f1",
        "confusion_matrix",
        "f1_score",
        "auroc",
        "multiclass_recall",
        "mean_squared_error",
    ]
    assert metrics[2].matrix.shape == (3, 3)
    assert metrics[3].metric.num_classes == 3


def test_assays_own_names_win_over_torchmetrics():
    assert build_metrics([bound("Precision")], classes=3)[0].__class__.__module__.startswith("assay.")


def test_another_number_of_classes_is_refused_by_its_key():
    with pytest.raises(ConfigError) as error:
        build_metrics([bound("F1", num_classes=4)], classes=3)
    assert error.value.problems[0].key == "metrics.0.args.num_classes"


def test_the_task_may_be_given():
    metric = build_metrics([bound("AUROC", task="binary")], classes=2)[0]
    assert type(metric.metric).__name__ == "BinaryAUROC"


def test_without_classes_metrics_of_numbers_still_work():
    assert build_metrics([bound("MeanSquaredError")], classes=None)[0].name == "mean_squared_error"


def test_k_is_held_against_the_number_of_classes():
    with pytest.raises(ConfigError, match="out of range"):
        build_metrics([bound("TopKAccuracy", k=5)], classes=3)


def test_an_object_is_taken_as_it_is():
    metric = TopKAccuracy(2)
    assert build_metrics([Bound("mine", metric, {})], classes=3) == [metric]


def test_the_table_comes_before_the_families():
    names = METRICS.names()
    assert {"Accuracy", "F1", "F1Score", "AUROC", "MulticlassAccuracy", "MeanSquaredError"} <= set(names)
    assert "functional" not in names
