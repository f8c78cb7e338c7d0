"""What every architecture of the table promises."""

from __future__ import annotations

import pytest
import torch

from assay.config.components import import_path
from assay.model.architectures import MODELS

SHAPES = {"LeNet": (1, 28, 28), "MLP": (1, 8, 8)}
SMALL = {"MLP": {"hidden": [16]}, "LeNet": {}}


def build(name, classes=5):
    cls = import_path(MODELS.table[name])
    shape = SHAPES.get(name, (3, 16, 16))
    if name in SHAPES:
        return cls(classes, input_shape=shape, **SMALL[name]), shape
    return cls(classes, in_channels=shape[0], width=4), shape


@pytest.fixture(params=sorted(MODELS.table))
def model_and_shape(request):
    torch.manual_seed(0)
    return build(request.param)


def test_a_batch_of_pictures_gives_one_score_per_class(model_and_shape):
    model, shape = model_and_shape
    assert model(torch.randn(2, *shape)).shape == (2, 5)


def test_gradients_reach_every_parameter(model_and_shape):
    model, shape = model_and_shape
    model(torch.randn(4, *shape)).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_evaluation_is_deterministic_and_takes_a_batch_of_one(model_and_shape):
    model, shape = model_and_shape
    x = torch.randn(3, *shape)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        torch.testing.assert_close(model(x[:1]), model(x)[:1], rtol=1e-4, atol=1e-4)


def test_the_state_of_one_makes_another_the_same(model_and_shape, request):
    model, shape = model_and_shape
    torch.manual_seed(1)
    other, _ = build(request.node.callspec.params["model_and_shape"])
    x = torch.randn(2, *shape)
    model.eval()
    other.eval()
    with torch.no_grad():
        assert not torch.equal(model(x), other(x))
        other.load_state_dict(model.state_dict())
        assert torch.equal(model(x), other(x))


def test_the_same_seed_gives_the_same_weights(model_and_shape, request):
    model, _ = model_and_shape
    torch.manual_seed(0)
    other, _ = build(request.node.callspec.params["model_and_shape"])
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_one_sgd_step_lowers_the_loss(model_and_shape):
    model, shape = model_and_shape
    model.eval()
    x, y = torch.randn(8, *shape), torch.arange(8) % 5
    before = torch.nn.functional.cross_entropy(model(x), y)
    before.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-2 * p.grad / norm
    assert torch.nn.functional.cross_entropy(model(x), y) < before
