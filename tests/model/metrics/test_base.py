from __future__ import annotations

import pytest
import torch

from assay.errors import DataError
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.names import snake_case


class AbsoluteError(BaseMetric):
    unit = "m"
    higher_is_better = False

    def forward(self, output, target):
        return (output - target).abs()


class MeanAbsoluteError(AbsoluteError):
    def forward(self, output, target):
        return super().forward(output, target).mean()


class Largest(BaseMetric):
    name = "largest"

    def __init__(self):
        super().__init__()
        self.add_state("value")

    def update(self, output, target):
        torch.maximum(self.value, (output - target).abs().max(), out=self.value)

    def compute(self):
        return self.value.clone()


OUTPUT, TARGET = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 1.0, 2.0])


@pytest.mark.parametrize("metric", [AbsoluteError, MeanAbsoluteError])
def test_values_per_sample_and_means_of_batches_give_the_same(metric):
    metric = metric()
    metric.update(OUTPUT[:2], TARGET[:2])
    metric.update(OUTPUT[2:], TARGET[2:])
    assert metric.compute().item() == pytest.approx(5 / 3, abs=1e-12)


def test_a_mean_counts_for_the_samples_that_the_step_says():
    metric = MeanAbsoluteError()
    metric.observe(OUTPUT[:2], TARGET[:2], count=3)
    metric.observe(OUTPUT[2:], TARGET[2:], count=1)
    assert metric.compute().item() == (0.5 * 3 + 4) / 4


def test_values_per_sample_count_themselves():
    metric = AbsoluteError()
    metric.observe(OUTPUT[:2], TARGET[:2], count=3)
    metric.observe(OUTPUT[2:], TARGET[2:], count=1)
    assert metric.compute().item() == pytest.approx(5 / 3)


def test_sums_of_a_long_epoch_do_not_lose_small_values():
    metric = AbsoluteError()
    metric.update(torch.tensor([2.0**25, 1.0]), torch.zeros(2))
    metric.update(torch.ones(3), torch.zeros(3))
    assert metric.total.item() == 2**25 + 4


def test_update_and_compute_may_be_given_instead():
    metric = Largest()
    with pytest.raises(DataError, match="'largest' has seen no samples"):
        metric.compute()
    metric.observe(OUTPUT, TARGET, count=3)
    assert metric.compute() == 4
    metric.reset()
    with pytest.raises(DataError):
        metric.compute()
    metric.update(OUTPUT[:2], TARGET[:2])
    assert metric.compute() == 1


def test_a_metric_without_a_method_cannot_be_made():
    class Nothing(BaseMetric):
        pass

    with pytest.raises(TypeError, match="Nothing needs forward"):
        Nothing()


def test_the_name_is_given_by_the_argument_or_the_class_or_its_snake_case():
    assert AbsoluteError("error").name == "error"
    assert Largest().name == "largest"
    assert AbsoluteError().name == "absolute_error"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TopKAccuracy", "top_k_accuracy"),
        ("F1", "f1"),
        ("MulticlassF1Score", "multiclass_f1_score"),
        ("AUROC", "auroc"),
        ("BinaryAUROC", "binary_auroc"),
        ("MeanIoU", "mean_io_u"),
    ],
)
def test_snake_case(name, expected):
    assert snake_case(name) == expected


def test_what_is_measured_is_the_first_line_of_the_docstring():
    class Documented(AbsoluteError):
        """Distance in metres.

        More.
        """

    assert Documented().what == "Distance in metres."


def test_nested_targets_have_the_size_of_their_first_tensor():
    class Nested(BaseMetric):
        def forward(self, output, target):
            return (output["a"] - target["a"][0]).mean()

    metric = Nested()
    metric.update({"a": OUTPUT}, {"a": [TARGET]})
    assert metric.count == 3


def test_what_can_be_seen_of_a_half_precision_output_is_exact():
    metric = AbsoluteError()
    for _ in range(300):
        metric.update(torch.ones(1, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.bfloat16))
    assert metric.compute() == 1
    assert metric.total == 300
