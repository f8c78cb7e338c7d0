from __future__ import annotations

import copy
import io

import pytest
import torch
import torchmetrics
from torchmetrics.classification import MulticlassAUROC, MulticlassF1Score

from assay.errors import ConfigError, DataError
from assay.model.metrics.building import as_metric
from assay.model.metrics.torch_metric import TorchMetric

K = 4
GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(21, K, generator=GENERATOR)
TARGET = torch.arange(21) % K

METRICS = {
    "sums": lambda: MulticlassF1Score(K, average="macro"),
    "lists of batches": lambda: MulticlassAUROC(K),
    "per class": lambda: MulticlassF1Score(K, average=None),
    "made by a factory": lambda: torchmetrics.Accuracy(task="multiclass", num_classes=K),
    "wrapped": lambda: torchmetrics.wrappers.ClasswiseWrapper(MulticlassF1Score(K, average=None)),
    "composed": lambda: 1 - MulticlassF1Score(K),
}


@pytest.mark.parametrize("make", METRICS.values(), ids=METRICS.keys())
def test_the_value_is_torchmetrics_own(make):
    metric, expected = TorchMetric(make()), make()
    for part in (slice(0, 20), slice(20, 21)):
        metric.update(OUTPUT[part], TARGET[part])
        expected.update(OUTPUT[part], TARGET[part])
    torch.testing.assert_close(metric.compute(), expected.compute())


@pytest.mark.parametrize("make", METRICS.values(), ids=METRICS.keys())
def test_the_state_goes_through_a_file_and_on(make):
    metric, other = TorchMetric(make()), TorchMetric(make())
    metric.update(OUTPUT[:9], TARGET[:9])
    file = io.BytesIO()
    torch.save(metric.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (metric, other):
        one.update(OUTPUT[9:], TARGET[9:])
    torch.testing.assert_close(other.compute(), metric.compute())


@pytest.mark.parametrize("make", METRICS.values(), ids=METRICS.keys())
def test_a_loaded_state_can_be_computed_at_once_without_a_warning(make):
    metric, other = TorchMetric(make()), TorchMetric(make())
    other.update(OUTPUT.roll(1), TARGET)
    other.compute()  # and keeps the result, which is then another's
    metric.update(OUTPUT, TARGET)
    other.load_state_dict(copy.deepcopy(metric.state_dict()))
    torch.testing.assert_close(other.compute(), metric.compute())


def test_a_loaded_state_lies_on_the_metrics_device():
    metric, other = TorchMetric(MulticlassAUROC(K)), TorchMetric(MulticlassAUROC(K)).to("meta")
    metric.update(OUTPUT, TARGET)
    other.load_state_dict(copy.deepcopy(metric.state_dict()))
    assert {tensor.device.type for tensor in other.metric.preds} == {"meta"}


def test_before_anything_was_seen_there_is_assays_error_and_no_warning():
    with pytest.raises(DataError, match="seen no samples"):
        TorchMetric(MulticlassF1Score(K)).compute()


def test_a_reset_forgets():
    metric, fresh = TorchMetric(MulticlassAUROC(K)), TorchMetric(MulticlassAUROC(K))
    metric.update(OUTPUT[:5], TARGET[:5])
    metric.reset()
    with pytest.raises(DataError):
        metric.compute()
    for one in (metric, fresh):
        one.update(OUTPUT[5:], TARGET[5:])
    assert torch.equal(metric.compute(), fresh.compute())


def test_inputs_are_checked_on_the_first_batch_only():
    metric = TorchMetric(MulticlassAUROC(K))
    with pytest.raises(RuntimeError, match="values in `target`"):
        metric.update(OUTPUT, torch.arange(21))
    metric.update(OUTPUT, TARGET)
    assert metric.metric.validate_args is False


def test_soft_targets_count_as_their_largest_share_where_there_are_classes():
    metric, expected = TorchMetric(MulticlassF1Score(K)), MulticlassF1Score(K)
    metric.update(OUTPUT, 0.6 * torch.nn.functional.one_hot(TARGET, K) + 0.1)
    assert metric.compute() == expected(OUTPUT, TARGET)
    regression = TorchMetric(torchmetrics.MeanSquaredError())
    regression.update(OUTPUT, torch.zeros_like(OUTPUT))
    torch.testing.assert_close(regression.compute(), OUTPUT.square().mean())


@pytest.mark.parametrize(
    ("configured", "metric", "name"),
    [
        ("F1Score", MulticlassF1Score(K), "f1_score"),
        ("torchmetrics.classification:MulticlassF1Score", MulticlassF1Score(K), "multiclass_f1_score"),
        ("", MulticlassF1Score(K), "multiclass_f1_score"),
    ],
)
def test_the_name_is_the_configurations_in_snake_case(configured, metric, name):
    assert as_metric(metric, configured).name == name


def test_the_direction_is_the_metrics():
    assert TorchMetric(MulticlassF1Score(K)).higher_is_better is True
    assert TorchMetric(torchmetrics.MeanSquaredError()).higher_is_better is False


@pytest.mark.parametrize("name", ["ROC", "PrecisionRecallCurve"])
def test_a_curve_is_refused_before_anything_is_measured(name):
    curve = getattr(torchmetrics, name)(task="multiclass", num_classes=K)
    with pytest.raises(ConfigError, match="gives a curve"):
        as_metric(curve, name)


def test_what_is_no_metric_is_refused():
    with pytest.raises(ConfigError, match="is not a metric"):
        as_metric(torch.nn.Linear(1, 1), "Linear")


def test_torchmetrics_never_waits_for_other_processes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first process makes the preflight: what waits for the others there waits for ever."""
    metric = TorchMetric(torchmetrics.classification.MulticlassAUROC(num_classes=3))
    metric.update(torch.eye(3), torch.arange(3))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "barrier", lambda *_, **__: pytest.fail("it waits"))
    monkeypatch.setattr(torch.distributed, "all_gather", lambda *_, **__: pytest.fail("it waits"))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: pytest.fail("it counts the others"))
    assert float(metric.compute()) == 1.0
