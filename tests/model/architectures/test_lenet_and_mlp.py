from __future__ import annotations

import pytest
import torch

from assay.errors import ConfigError
from assay.model.architectures.lenet import LeNet
from assay.model.architectures.mlp import MLP


@pytest.mark.parametrize("shape", [(1, 12, 12), (1, 28, 28), (3, 32, 32), (2, 13, 40), (1, 15, 17)])
def test_lenet_takes_pictures_of_any_size_from_12_up(shape):
    assert LeNet(10, input_shape=shape)(torch.randn(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 11), (64,)])
def test_lenet_says_that_pictures_are_too_small(shape):
    with pytest.raises(ConfigError, match="at least 12"):
        LeNet(10, input_shape=shape)


def test_lenet_on_28_by_28_has_the_layers_of_the_paper():
    with torch.device("meta"):
        model = LeNet(10)
    assert sum(p.numel() for p in model.parameters()) == 61_706


@pytest.mark.parametrize("shape", [(64,), (1, 8, 8), (2, 3, 4, 5)])
def test_an_mlp_takes_samples_of_any_shape(shape):
    assert MLP(4, shape)(torch.randn(3, *shape)).shape == (3, 4)


def test_an_mlp_has_a_layer_for_every_number():
    model = MLP(4, (8,), hidden=[16, 32])
    assert [tuple(p.shape) for n, p in model.named_parameters() if "weight" in n] == [
        (16, 8),
        (32, 16),
        (4, 32),
    ]


def test_an_mlp_without_hidden_layers_is_linear():
    model = MLP(4, (8,), hidden=[])
    x, y = torch.randn(2, 8), torch.randn(2, 8)
    torch.testing.assert_close(model(x) + model(y), model(x + y) + model(torch.zeros(2, 8)))


@pytest.mark.parametrize(("arguments", "key"), [({"hidden": [0]}, "hidden"), ({"dropout": 1.0}, "dropout")])
def test_an_impossible_mlp_is_refused_by_its_key(arguments, key):
    with pytest.raises(ConfigError) as error:
        MLP(4, (8,), **arguments)
    assert error.value.problems[0].key == f"model.args.{key}"
