"""Parts add up to the whole, in float64 to 1e-12, however the whole is cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from assay.errors import ConfigError
from assay.model.losses.soft_cross_entropy import SoftCrossEntropyLoss
from assay.model.losses.weighting import loss_is_sum, loss_total, loss_weight

GENERATOR = torch.Generator().manual_seed(0)
N, K = 13, 4
OUTPUT = torch.randn(N, K, dtype=torch.float64, generator=GENERATOR)
INDICES = torch.tensor([0, 1, 2, 3, 3, 1, 1, 2, 0, 0, 2, 3, 1])
IGNORING = INDICES.where(INDICES != 2, -100)
SOFT = torch.rand(N, K, dtype=torch.float64, generator=GENERATOR).softmax(dim=1)
WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.5], dtype=torch.float64)
DENSE_OUTPUT = torch.randn(N, K, 2, 3, dtype=torch.float64, generator=GENERATOR)
DENSE = torch.randint(K, (N, 2, 3), generator=GENERATOR)

CASES = {
    "cross-entropy": (nn.CrossEntropyLoss(), OUTPUT, INDICES),
    "ignored by default": (nn.CrossEntropyLoss(), OUTPUT, IGNORING),
    "ignored class": (nn.CrossEntropyLoss(ignore_index=3), OUTPUT, INDICES),
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHTS), OUTPUT, INDICES),
    "weights and ignored": (nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=1), OUTPUT, INDICES),
    "weights, ignored, smoothing": (
        nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1),
        OUTPUT,
        IGNORING,
    ),
    "soft targets": (nn.CrossEntropyLoss(), OUTPUT, SOFT),
    "soft targets, weights": (nn.CrossEntropyLoss(weight=WEIGHTS), OUTPUT, SOFT),
    "dense": (nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=0), DENSE_OUTPUT, DENSE),
    "nll": (nn.NLLLoss(weight=WEIGHTS), OUTPUT.log_softmax(1), IGNORING),
    "mse": (nn.MSELoss(), OUTPUT, SOFT),
    "ours": (SoftCrossEntropyLoss(0.1), OUTPUT, INDICES),
    "kl": (nn.KLDivLoss(reduction="batchmean"), OUTPUT.log_softmax(1), SOFT),
    "multi margin, weights": (nn.MultiMarginLoss(weight=WEIGHTS), OUTPUT, INDICES),
    "binary, positive weights": (nn.BCEWithLogitsLoss(pos_weight=WEIGHTS), OUTPUT, (SOFT > 0.3).double()),
}
CUTS = [[13], [4, 4, 4, 1], [1] * 13, [7, 6], [12, 1]]


def parts(tensor, sizes):
    return tensor.split(sizes)


@pytest.mark.parametrize("sizes", CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_value_of_the_whole_is_that_of_its_parts(case, sizes):
    loss, output, target = CASES[case]
    total, weight = torch.zeros((), dtype=torch.float64), 0.0
    for out, tgt in zip(parts(output, sizes), parts(target, sizes), strict=True):
        share = loss_weight(loss, tgt, len(tgt))
        total = total + loss_total(loss(out, tgt), share)
        weight = weight + share
    torch.testing.assert_close(total / weight, loss(output, target), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_the_whole_is_that_of_its_parts(case, sizes):
    loss, output, target = CASES[case]
    whole = output.clone().requires_grad_()
    loss(whole, target).backward()
    cut = output.clone().requires_grad_()
    weight = 0.0
    for out, tgt in zip(parts(cut, sizes), parts(target, sizes), strict=True):
        share = loss_weight(loss, tgt, len(tgt))
        loss_total(loss(out, tgt), share).backward()
        weight = weight + share
    torch.testing.assert_close(cut.grad / weight, whole.grad, rtol=1e-12, atol=1e-12)


def test_a_loss_that_is_a_sum_adds_up_undivided():
    loss = nn.CrossEntropyLoss(reduction="sum", weight=WEIGHTS)
    assert loss_is_sum(loss)
    assert not loss_is_sum(nn.CrossEntropyLoss())
    total = sum(
        loss_total(loss(out, tgt), loss_weight(loss, tgt, len(tgt)))
        for out, tgt in zip(parts(OUTPUT, [4, 9]), parts(INDICES, [4, 9]), strict=True)
    )
    torch.testing.assert_close(total, loss(OUTPUT, INDICES), rtol=1e-12, atol=1e-12)


def test_a_part_in_which_no_target_counts_adds_nothing_and_spoils_nothing():
    loss = nn.CrossEntropyLoss(weight=WEIGHTS)
    output = torch.randn(3, K, dtype=torch.float64, requires_grad=True)
    target = torch.full((3,), -100)
    total = loss_total(loss(output, target), loss_weight(loss, target, 3))
    total.backward()
    assert total == 0
    assert (output.grad == 0).all()


def test_a_loss_that_is_not_finite_stays_so():
    weight = loss_weight(nn.CrossEntropyLoss(), INDICES, N)
    assert loss_total(torch.tensor(float("nan")), weight).isnan()
    assert loss_total(torch.tensor(float("inf")), 3.0).isinf()


def test_on_an_accelerator_nothing_waits_for_the_weight():
    # The meta device has no values: whoever reads one fails.
    for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=1)):
        weight = loss_weight(loss.to("meta"), INDICES.to("meta"), N)
        assert weight.shape == ()
        assert loss_total(torch.ones((), device="meta"), weight).device.type == "meta"


@pytest.mark.parametrize("count", [0, 5])
def test_a_weight_on_the_device_counts_like_one_on_the_host(count):
    value = torch.tensor(2.0 if count else float("nan"))
    assert loss_total(value, torch.tensor(count)) == loss_total(value, float(count)) == 2.0 * count


def test_the_total_keeps_the_precision_of_the_value():
    weight = torch.tensor(3.0, dtype=torch.float64)
    assert loss_total(torch.tensor(1.0), weight).dtype == torch.float32


def test_a_subclass_with_its_own_forward_is_a_mean_over_samples():
    class Focal(nn.CrossEntropyLoss):
        def forward(self, input, target):
            return super().forward(input, target)

    assert loss_weight(Focal(ignore_index=3), INDICES, N) == float(N)


def test_a_compiled_loss_weighs_like_the_loss_inside():
    loss = nn.CrossEntropyLoss(weight=WEIGHTS)
    wrapped = torch.compile(loss, backend="eager")
    assert loss_weight(wrapped, INDICES, N) == loss_weight(loss, INDICES, N)


def test_a_loss_of_several_numbers_is_refused():
    with pytest.raises(ConfigError, match="one number") as error:
        loss_total(nn.CrossEntropyLoss(reduction="none")(OUTPUT, INDICES), float(N))
    assert error.value.problems[0].found == "a tensor of shape (13,)"
