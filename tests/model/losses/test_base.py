from __future__ import annotations

import pytest
import torch

from assay.model.losses.base import BaseLoss
from assay.model.losses.weighting import loss_weight


def test_a_loss_without_forward_cannot_be_made():
    class Nothing(BaseLoss):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()


def test_a_loss_of_ones_own_is_one_method_and_may_say_what_it_is_a_mean_over():
    class PerPixel(BaseLoss):
        def forward(self, output, target):
            return (output - target).abs().mean()

        def weight_of(self, target, count):
            return float(target.numel())

    assert PerPixel()(torch.ones(2, 3), torch.zeros(2, 3)) == 1
    assert loss_weight(PerPixel(), torch.zeros(2, 3), 2) == 6.0
