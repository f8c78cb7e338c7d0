from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import sklearn.metrics
import torch
import torchmetrics
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.classification import MulticlassAUROC

from assay.errors import CheckpointError, ConfigError, DataError
from assay.model.losses.weighting import loss_is_sum, loss_weight
from assay.model.metrics.accuracy import Accuracy
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.collection import MetricSet
from assay.model.metrics.confusion import ConfusionMatrix
from assay.model.metrics.precision_recall import F1
from assay.model.metrics.top_k import TopKAccuracy

N, K = 33, 4
GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(N, K, dtype=torch.float64, generator=GENERATOR)
TARGET = torch.randint(K, (N,), generator=GENERATOR)


@dataclass
class Step:
    loss: Tensor
    output: Any
    target: Any
    count: int
    weight: float | Tensor | None = None
    values: dict[str, Tensor] = field(default_factory=dict)


def step(output=OUTPUT, target=TARGET, loss=None, **values):
    loss = loss or nn.CrossEntropyLoss()
    count = len(target)
    return Step(loss(output, target), output, target, count, loss_weight(loss, target, count), values)


def fill(metrics, sizes, loss=None):
    for output, target in zip(OUTPUT.split(sizes), TARGET.split(sizes), strict=True):
        metrics.update(step(output, target, loss))
    return metrics


def everything(reads=None):
    return MetricSet([Accuracy(), TopKAccuracy(2), F1(K), ConfusionMatrix(K), MulticlassAUROC(K)], reads=reads)


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("sizes", [[N], [16, 16, 1], [1] * N], ids=str)
def test_an_epoch_is_what_scikit_learn_and_torch_say_of_all_samples(sizes, reads):
    metrics = fill(everything(reads), sizes)
    predicted = OUTPUT.argmax(1)
    expected = {
        "loss": nn.functional.cross_entropy(OUTPUT, TARGET).item(),
        "accuracy": sklearn.metrics.accuracy_score(TARGET, predicted),
        "top2_accuracy": sklearn.metrics.top_k_accuracy_score(TARGET, OUTPUT, k=2),
        "f1": sklearn.metrics.f1_score(TARGET, predicted, average="macro"),
    }
    values = metrics.compute()
    auroc = values.pop("multiclass_auroc")
    assert values == pytest.approx(expected, abs=1e-12)
    area = sklearn.metrics.roc_auc_score(TARGET, OUTPUT.softmax(1), multi_class="ovr")
    assert auroc == pytest.approx(area, abs=1e-6)
    matrix = sklearn.metrics.confusion_matrix(TARGET, predicted)
    assert (metrics.matrices()["confusion_matrix"].numpy() == matrix).all()


def test_class_weights_count_in_the_loss_of_an_epoch():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1, 2, 5], dtype=torch.float64), ignore_index=1)
    value = fill(MetricSet(), [16, 16, 1], loss).compute()["loss"]
    assert value == pytest.approx(loss(OUTPUT, TARGET).item(), abs=1e-12)


def test_of_a_loss_that_is_a_sum_the_mean_per_sample_is_recorded():
    loss = nn.CrossEntropyLoss(reduction="sum")
    value = fill(MetricSet(loss_is_sum=loss_is_sum(loss)), [16, 16, 1], loss).compute()["loss"]
    assert value == pytest.approx(loss(OUTPUT, TARGET).item() / N, abs=1e-12)


def test_a_step_without_a_weight_counts_its_samples():
    metrics = MetricSet()
    metrics.update(Step(torch.tensor(1.0), None, None, 3))
    metrics.update(Step(torch.tensor(5.0), None, None, 1))
    assert metrics.compute() == {"loss": 2.0}


def test_values_of_a_step_are_averaged_over_samples():
    metrics = MetricSet()
    metrics.update(step(OUTPUT[:24], TARGET[:24], penalty=torch.tensor(1.0)))
    metrics.update(step(OUTPUT[24:32], TARGET[24:32], penalty=torch.tensor(5.0), rare=torch.tensor(3.0)))
    values = metrics.compute()
    assert values["penalty"] == 2.0
    assert values["rare"] == 3.0
    assert {"loss", "penalty", "rare"} == set(metrics.measurements())


def test_phases_given_the_same_metrics_do_not_share_sums():
    accuracy = Accuracy()
    train, test = MetricSet([accuracy]), MetricSet([accuracy])
    fill(train, [N])
    with pytest.raises(DataError):
        test.compute()
    assert accuracy.count == 0


def test_an_empty_phase_is_a_clear_error():
    metrics = everything()
    for read in (metrics.compute, metrics.scalars, metrics.matrices):
        with pytest.raises(DataError, match="no samples"):
            read()


def test_a_reset_forgets_everything():
    metrics = fill(everything(), [16, 16, 1])
    before = metrics.compute()
    metrics.reset()
    with pytest.raises(DataError):
        metrics.compute()
    assert fill(metrics, [16, 16, 1]).compute() == before


def test_numbers_and_tensors_are_summed_to_the_same_bit():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1, 2, 5], dtype=torch.float64))
    sums = everything(reads=True), everything(reads=False)
    for output, target in zip(OUTPUT.split([16, 16, 1]), TARGET.split([16, 16, 1]), strict=True):
        for metrics in sums:
            metrics.update(step(output, target, loss, value=output.mean().float()))
    one, other = (metrics.compute() for metrics in sums)
    assert list(one.items()) == list(other.items())


@pytest.mark.parametrize("reads", [True, False])
def test_what_a_batch_adds_is_worked_out_once_for_several_phases(reads):
    calls = []

    class Counted(Accuracy):
        def forward(self, output, target):
            calls.append(len(output))
            return super().forward(output, target)

    train, window, alone = (MetricSet([F1(K), Counted()], reads=reads) for _ in range(3))
    for output, target in zip(OUTPUT.split([16, 16, 1]), TARGET.split([16, 16, 1]), strict=True):
        part = train.read(step(output, target, value=output.mean()))
        train.add(part)
        window.add(part)
        assert len(calls) == 1
        calls.clear()
    fill(alone, [16, 16, 1])
    assert window.compute() == train.compute()
    assert {name: train.compute()[name] for name in alone.compute()} == alone.compute()
    assert list(train.compute()) == ["loss", "value", "f1", "counted"]
    window.reset()
    assert train.compute()["loss"] == alone.compute()["loss"]


@pytest.mark.parametrize("reads", [True, False])
def test_a_value_that_is_not_one_number_is_refused(reads):
    with pytest.raises(ConfigError, match="'curve' of a training step is not one number"):
        MetricSet(reads=reads).update(step(curve=torch.ones(3)))


def test_scalars_are_tensors_that_nothing_has_waited_for():
    scalars = fill(everything(reads=False), [N]).scalars()
    assert all(isinstance(value, Tensor) and value.shape == () for value in scalars.values())
    assert "confusion_matrix" not in scalars


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a device: reading a number, and sizes that depend on values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name == "index" else ()
        assert name not in (
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "_unique2",
            "bincount",
            "equal",
        )
        assert not any(index is not None and index.dtype == torch.bool for index in indices)
        return func(*args, **(kwargs or {}))


def test_the_mode_of_the_next_test_sees_a_wait():
    for wait in (lambda x: x.item(), lambda x: x[x > 0], torch.bincount):
        with NoWaiting(), pytest.raises(AssertionError):
            wait(torch.ones(1, dtype=torch.int64))


def test_neither_update_nor_scalars_nor_reset_waits_for_the_device():
    metrics = MetricSet([Accuracy(), TopKAccuracy(2), F1(K), ConfusionMatrix(K)], reads=False)
    theirs = fill(MetricSet([torchmetrics.F1Score("multiclass", num_classes=K)], reads=False), [N])
    part = step(value=torch.tensor(1.0))
    part.weight = torch.tensor(33)  # as it is on an accelerator
    with NoWaiting():
        metrics.update(part)
        metrics.scalars()
        metrics.reset()
        theirs.update(part)  # after the first batch, whose values are checked


def test_the_graph_of_the_training_step_is_not_kept():
    output = OUTPUT.clone().requires_grad_()
    metrics = MetricSet([MulticlassAUROC(K)], reads=False)
    metrics.update(step(output, TARGET))
    stored = metrics.metrics["multiclass_auroc"].metric.preds
    assert not any(tensor.requires_grad for tensor in stored)
    assert not metrics.scalars()["loss"].requires_grad


def test_nested_outputs_reach_a_metric_whole_and_detached():
    seen = {}

    class Nested(BaseMetric):
        def forward(self, output, target):
            seen.update(output)
            return output["a"][0].mean()

    metrics = MetricSet([Nested()])
    metrics.update(Step(torch.tensor(1.0), {"a": [OUTPUT.clone().requires_grad_()]}, (TARGET,), N))
    assert not seen["a"][0].requires_grad
    assert metrics.compute()["nested"] == pytest.approx(OUTPUT.mean().item())


def test_results_that_are_several_become_one_name_each():
    class Several(BaseMetric):
        def update(self, output, target):
            pass

        def compute(self):
            return {"mean value": torch.tensor(1.0), "by/class": torch.tensor([2.0, 3.0]), "host": 4.0}

    metrics = fill(MetricSet([Several(), torchmetrics.F1Score("multiclass", num_classes=K, average=None)]), [N])
    values = metrics.compute()
    assert values["several/mean_value"] == 1
    assert (values["several/by_class/0"], values["several/by_class/1"]) == (2, 3)
    assert values["several/host"] == 4
    assert {f"multiclass_f1_score/{index}" for index in range(K)} <= set(values)


@pytest.mark.parametrize("result", [(torch.ones(2), torch.ones(3)), torch.ones(2, 2, 2), "text"])
def test_a_result_that_cannot_be_recorded_is_refused(result):
    class Odd(BaseMetric):
        def update(self, output, target):
            pass

        def compute(self):
            return result

    with pytest.raises(ConfigError, match="cannot be recorded"):
        fill(MetricSet([Odd()]), [N]).compute()


@pytest.mark.parametrize("metrics", [[Accuracy(), Accuracy()], [Accuracy("loss")]])
def test_two_measurements_of_one_name_are_refused(metrics):
    with pytest.raises(ConfigError, match="two measurements are named"):
        MetricSet(metrics)


def test_a_value_of_a_step_that_is_named_like_a_metric_is_refused():
    with pytest.raises(ConfigError, match="two measurements"):
        MetricSet([Accuracy()]).update(step(accuracy=torch.tensor(1.0)))


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "with space", "-flag"])
def test_a_name_that_a_file_could_not_have_is_refused(name):
    metric = Accuracy()
    metric.name = name
    with pytest.raises(ConfigError, match="cannot be named"):
        MetricSet([metric])


def test_measurements_say_unit_subject_and_direction():
    about = MetricSet([Accuracy(), ConfusionMatrix(K), torchmetrics.MeanSquaredError()]).measurements()
    assert about["loss"]["better"] == "lower"
    assert about["accuracy"]["better"] == "higher"
    assert about["accuracy"]["what"].startswith("Share of samples")
    assert about["confusion_matrix"] == {
        "unit": "samples",
        "what": "Samples of class i (row) that were predicted as class j (column), shape (K, K), int64.",
        "better": None,
    }
    assert about["mean_squared_error"]["better"] == "lower"


@pytest.mark.parametrize("reads", [True, False])
def test_a_state_saved_inside_an_epoch_goes_on_where_it_was(reads):
    whole = everything(reads)
    whole.update(step(OUTPUT[:16], TARGET[:16], penalty=torch.tensor(1.0)))
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed = fill(everything(reads), [N])
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for metrics in (whole, resumed):
        metrics.update(step(OUTPUT[16:], TARGET[16:]))
    assert resumed.compute() == whole.compute()
    assert torch.equal(resumed.matrices()["confusion_matrix"], whole.matrices()["confusion_matrix"])


def test_a_state_of_an_empty_phase_is_empty_again():
    metrics = fill(everything(), [N])
    metrics.update(step(penalty=torch.tensor(1.0)))
    metrics.load_state_dict(copy.deepcopy(everything().state_dict()))
    assert "penalty" not in metrics.measurements()
    with pytest.raises(DataError):
        metrics.compute()


def test_a_state_of_other_metrics_is_refused():
    with pytest.raises(CheckpointError) as error:
        MetricSet([Accuracy()]).load_state_dict(MetricSet([F1(K)]).state_dict())
    assert (error.value.found, error.value.expected) == ("f1", "accuracy")


def test_a_loss_that_is_not_finite_is_recorded_as_it_is():
    metrics = MetricSet()
    metrics.update(Step(torch.tensor(math.nan), OUTPUT, TARGET, N))
    assert math.isnan(metrics.compute()["loss"])


def test_a_batch_in_which_no_target_counts_changes_no_loss():
    metrics = MetricSet()
    metrics.update(step())
    before = metrics.compute()
    metrics.update(step(OUTPUT[:2], torch.full((2,), -100)))
    assert metrics.compute() == before
