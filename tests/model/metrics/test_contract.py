"""What every metric of the table promises."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from assay.config.components import import_path
from assay.errors import DataError
from assay.model.metrics import METRICS

N, K = 37, 5
GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(N, K, generator=GENERATOR)
TARGET = torch.randint(K, (N,), generator=GENERATOR)
ARGUMENTS = {
    "ConfusionMatrix": {"num_classes": K},
    "F1": {"num_classes": K},
    "Precision": {"num_classes": K},
    "Recall": {"num_classes": K},
    "TopKAccuracy": {"k": 2},
}


@pytest.fixture(params=sorted(METRICS.table))
def metric(request):
    return import_path(METRICS.table[request.param])(**ARGUMENTS.get(request.param, {}))


def measured(metric, sizes, output=OUTPUT, target=TARGET):
    metric.reset()
    for out, tgt in zip(output.split(sizes), target.split(sizes), strict=True):
        metric.update(out, tgt)
    return metric.compute()


@pytest.mark.parametrize("sizes", [[36, 1], [1] * N, [8, 8, 8, 8, 5]], ids=str)
def test_any_cut_into_batches_gives_the_same(metric, sizes):
    whole = measured(metric, [N])
    assert torch.equal(measured(metric, sizes), whole)


def test_the_order_of_the_samples_does_not_matter(metric):
    order = torch.randperm(N)
    assert torch.equal(measured(metric, [N], OUTPUT[order], TARGET[order]), measured(metric, [N]))


def test_before_anything_was_seen_there_is_a_clear_error(metric):
    with pytest.raises(DataError, match="seen no samples"):
        metric.compute()
    measured(metric, [N])
    metric.reset()
    with pytest.raises(DataError, match="seen no samples"):
        metric.compute()


def test_one_hot_and_soft_targets_count_as_their_largest_share(metric):
    one_hot = torch.nn.functional.one_hot(TARGET, K)
    soft = 0.6 * one_hot + 0.1
    expected = measured(metric, [N])
    assert torch.equal(measured(metric, [N], target=one_hot), expected)
    assert torch.equal(measured(metric, [N], target=soft), expected)


def test_sums_go_through_a_file_that_holds_no_code(metric):
    other = copy.deepcopy(metric)
    metric.update(OUTPUT[:20], TARGET[:20])
    file = io.BytesIO()
    torch.save(metric.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.compute(), metric.compute())
    other.update(OUTPUT[20:], TARGET[20:])
    assert torch.equal(other.compute(), measured(metric, [N]))


def test_a_dense_target_counts_every_place(metric):
    output, target = torch.randn(3, K, 4, 2), torch.randint(K, (3, 4, 2))
    expected = measured(metric, [24], output.permute(0, 2, 3, 1).reshape(24, K), target.reshape(24))
    assert torch.equal(measured(metric, [2, 1], output, target), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_indices_may_be_any_integers(metric, dtype):
    assert torch.equal(measured(metric, [N], target=TARGET.to(dtype)), measured(metric, [N]))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_logit_per_sample_is_refused_and_not_misread(metric, shape):
    with pytest.raises(DataError, match="one score per class"):
        metric.update(torch.randn(shape), torch.zeros(4, dtype=torch.int64))


def test_targets_of_another_shape_are_refused(metric):
    with pytest.raises(DataError, match="do not fit"):
        metric.update(OUTPUT, TARGET.unsqueeze(1))


def test_update_keeps_nothing_of_the_graph(metric):
    metric.update(OUTPUT.clone().requires_grad_(), TARGET)
    assert not any(buffer.requires_grad for buffer in metric.buffers())


def test_a_metric_says_its_unit_and_what_it_measures(metric):
    assert metric.unit in ("1", "samples")
    assert len(metric.what) > 20
    assert metric.name == metric.name.lower()
