"""What every loss of the table, and the classification losses of torch, promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from assay.config.components import import_path
from assay.model.losses import LOSSES

OWN = {name: import_path(path) for name, path in LOSSES.table.items()}
CLASSIFIERS = {**OWN, "CrossEntropyLoss": nn.CrossEntropyLoss, "MultiMarginLoss": nn.MultiMarginLoss}


@pytest.fixture(params=sorted(CLASSIFIERS))
def loss(request):
    return CLASSIFIERS[request.param]()


def test_a_loss_is_one_finite_number_that_can_be_differentiated(loss):
    target = torch.arange(6) % 4
    output = (-10 * torch.nn.functional.one_hot(target, 4).float()).requires_grad_()  # all wrong
    value = loss(output, target)
    assert value.shape == ()
    assert value.isfinite()
    value.backward()
    assert output.grad.isfinite().all()
    assert (output.grad != 0).any(dim=1).all()


def test_right_answers_cost_less_than_wrong_ones(loss):
    target = torch.arange(4)
    scores = 5 * torch.eye(4)
    assert loss(scores, target) < loss(scores.roll(1, dims=0), target)


def test_the_table_and_torch_are_both_offered():
    names = LOSSES.names()
    assert {"SoftCrossEntropyLoss", "CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss"} <= set(names)
    assert "Linear" not in names
