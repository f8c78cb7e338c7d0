from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from assay.errors import ConfigError
from assay.model.losses.soft_cross_entropy import SoftCrossEntropyLoss

OUTPUT = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INDICES = torch.tensor([0, 1, 2, 3, 0, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_on_class_indices_it_is_torchs_cross_entropy(smoothing):
    expected = F.cross_entropy(OUTPUT, INDICES, label_smoothing=smoothing)
    torch.testing.assert_close(SoftCrossEntropyLoss(smoothing)(OUTPUT, INDICES), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_on_distributions_it_is_torchs_cross_entropy(smoothing):
    target = torch.rand(6, 4, dtype=torch.float64).softmax(dim=1)
    expected = F.cross_entropy(OUTPUT, target, label_smoothing=smoothing)
    torch.testing.assert_close(SoftCrossEntropyLoss(smoothing)(OUTPUT, target), expected)


def test_a_one_hot_target_is_its_index():
    one_hot = F.one_hot(INDICES, 4).double()
    loss = SoftCrossEntropyLoss(0.2)
    torch.testing.assert_close(loss(OUTPUT, one_hot), loss(OUTPUT, INDICES))


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses():
    one_hot = F.one_hot(INDICES, 4).double()
    mixed = 0.3 * one_hot + 0.7 * one_hot.flip(0)
    loss = SoftCrossEntropyLoss()
    expected = 0.3 * loss(OUTPUT, INDICES) + 0.7 * loss(OUTPUT, INDICES.flip(0))
    torch.testing.assert_close(loss(OUTPUT, mixed), expected)


def test_dense_targets_have_a_score_for_every_place():
    output, target = torch.randn(2, 4, 3, 5), torch.randint(4, (2, 3, 5))
    torch.testing.assert_close(
        SoftCrossEntropyLoss(0.1)(output, target), F.cross_entropy(output, target, label_smoothing=0.1)
    )


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_a_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ConfigError, match="smoothing"):
        SoftCrossEntropyLoss(smoothing)
