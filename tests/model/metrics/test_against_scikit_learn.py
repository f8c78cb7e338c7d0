"""The figures are those that scikit-learn gives over all samples at once."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch

from assay.errors import ConfigError
from assay.model.metrics.accuracy import Accuracy
from assay.model.metrics.confusion import ConfusionMatrix
from assay.model.metrics.precision_recall import F1, Precision, Recall
from assay.model.metrics.top_k import TopKAccuracy

K = 6
GENERATOR = torch.Generator().manual_seed(3)
SCORES = torch.randn(101, K, generator=GENERATOR)
LABELS = torch.randint(K, (101,), generator=GENERATOR)

CASES = {
    "ordinary": (SCORES, LABELS),
    "a class that is never right": (SCORES - 100 * torch.eye(K)[2], LABELS),
    "a class that is absent": (SCORES, LABELS.where(LABELS != 4, 0)),
    "a class that is absent and never predicted": (
        SCORES - 100 * torch.eye(K)[4],
        LABELS.where(LABELS != 4, 0),
    ),
    "one class only": (SCORES, torch.full_like(LABELS, 3)),
    "one sample": (SCORES[:1], LABELS[:1]),
    "all wrong": (SCORES, (SCORES.argmax(1) + 1) % K),
    "all right": (SCORES, SCORES.argmax(1)),
}
SCIKIT = {
    Precision: sklearn.metrics.precision_score,
    Recall: sklearn.metrics.recall_score,
    F1: sklearn.metrics.f1_score,
}


def measured(metric, scores, labels):
    sizes = [40] * (len(labels) // 40) + ([len(labels) % 40] if len(labels) % 40 else [])
    for out, tgt in zip(scores.split(sizes), labels.split(sizes), strict=True):
        metric.update(out, tgt)
    return metric.compute().numpy()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("metric", SCIKIT)
def test_precision_recall_and_f1(metric, average, case):
    scores, labels = CASES[case]
    expected = SCIKIT[metric](labels, scores.argmax(1), average=average, zero_division=0)
    assert measured(metric(K, average), scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_accuracy(case):
    scores, labels = CASES[case]
    expected = sklearn.metrics.accuracy_score(labels, scores.argmax(1))
    assert measured(Accuracy(), scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.filterwarnings(
    "ignore:'k' .* greater than or equal to 'n_classes':sklearn.exceptions.UndefinedMetricWarning"
)
def test_top_k_accuracy(case, k):
    scores, labels = CASES[case]
    expected = sklearn.metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(K))
    assert measured(TopKAccuracy(k), scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_confusion_matrix_with_true_classes_in_its_rows(case):
    scores, labels = CASES[case]
    expected = sklearn.metrics.confusion_matrix(labels, scores.argmax(1), labels=range(K))
    matrix = measured(ConfusionMatrix(K), scores, labels)
    assert matrix.dtype == np.int64
    assert (matrix == expected).all()


@pytest.mark.parametrize(("k", "classes"), [(0, None), (-1, 10), (11, 10)])
def test_k_out_of_range_is_refused(k, classes):
    with pytest.raises(ConfigError, match="out of range"):
        TopKAccuracy(k, num_classes=classes)


def test_names_say_k_and_the_average():
    assert TopKAccuracy(3).name == "top3_accuracy"
    assert TopKAccuracy(3, name="mine").name == "mine"
    assert F1(3).name == "f1"
    assert F1(3, "weighted").name == "f1_weighted"
    assert F1(3, "weighted", name="mine").name == "mine"
    assert Precision(3, "micro").name == "precision_micro"


def test_scores_that_are_not_numbers_are_no_right_answer_by_default():
    scores = torch.full((4, 3), torch.nan)
    metric = TopKAccuracy(1)
    metric.update(scores, torch.tensor([0, 1, 2, 2]))
    assert metric.compute() < 1
