from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from assay.config.binding import Bound
from assay.config.components import Allowed, find
from assay.errors import ConfigError
from assay.model.architectures import MODELS
from assay.model.architectures.building import build_model
from assay.model.outputs import auxiliary_outputs, main_output


@dataclass
class Info:
    shape: tuple[int, ...] = (3, 32, 32)
    classes: int | None = 7


def bound(name, **args):
    return Bound(name, find(MODELS, name, Allowed(Path("."))), args, key="model")


def test_a_model_learns_classes_and_channels_from_the_data():
    model = build_model(bound("ResNet", blocks=[1], width=4), Info((1, 8, 8), 3))
    assert model.conv1.in_channels == 1
    assert model.fc.out_features == 3


def test_a_model_learns_the_input_shape_from_the_data():
    assert build_model(bound("MLP"), Info((2, 3, 4))).layers[0][0].in_features == 24


def test_numbers_that_contradict_the_data_are_refused_together():
    with pytest.raises(ConfigError) as error:
        build_model(bound("ResNet", num_classes=10, in_channels=1), Info())
    assert {(p.key, p.found.partition(",")[0], p.expected) for p in error.value.problems} == {
        ("model.args.num_classes", "10", "7"),
        ("model.args.in_channels", "1", "3"),
    }


def test_numbers_that_agree_with_the_data_may_stand():
    model = build_model(bound("MLP", num_classes=7, input_shape=[3, 32, 32]), Info())
    assert model.head.out_features == 7


def test_without_classes_the_configuration_gives_the_outputs():
    assert build_model(bound("MLP", num_classes=1), Info((4,), None)).head.out_features == 1


def test_a_function_that_makes_no_module_is_refused():
    def factory():
        return "a string"

    with pytest.raises(ConfigError, match="did not make a model"):
        build_model(Bound("factory", factory, {}), Info())


def test_a_users_function_with_only_kwargs_is_given_nothing():
    seen = {}

    def factory(**kwargs):
        seen.update(kwargs)
        return nn.Identity()

    build_model(Bound("factory", factory, {"depth": 2}), Info())
    assert seen == {"depth": 2}


def test_a_users_class_is_given_only_what_it_asks_for():
    class Net(nn.Module):
        def __init__(self, num_classes=10):
            super().__init__()
            self.out = nn.Linear(1, num_classes)

    assert build_model(Bound("Net", Net, {}), Info()).out.out_features == 7


def test_a_model_that_is_an_object_already_is_taken_as_it_is():
    model = nn.Linear(2, 3)
    assert build_model(Bound("Net", model, {}), Info()) is model


def test_the_table_lists_exactly_torchvisions_classifiers():
    listed = set(MODELS.names()) - set(MODELS.table)
    assert listed == set(torchvision.models.list_models(module=torchvision.models))


CLASSIFIERS = [
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "maxvit_t", "mnasnet0_5"),
    *("mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vgg11", "vit_b_16"),
]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_torchvision_classifier_gets_the_classes_of_the_data(name):
    with torch.device("meta"):
        model = build_model(bound(name), Info())
    sizes = [m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
    sizes += [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert 7 in sizes
    assert 1000 not in sizes


@pytest.mark.parametrize(("name", "size", "heads"), [("googlenet", 64, 2), ("inception_v3", 299, 1)])
def test_models_with_auxiliary_heads_are_built_without_a_warning_and_trained_with_them(name, size, heads):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build_model(bound(name), Info())
    x = torch.randn(2, 3, size, size)
    output = model(x)
    assert main_output(output).shape == (2, 7)
    assert [tuple(aux.shape) for aux in auxiliary_outputs(output)] == [(2, 7)] * heads
    model.eval()
    with torch.no_grad():
        output = model(x[:, :, :75, :75])
    assert main_output(output).shape == (2, 7)
    assert auxiliary_outputs(output) == []


def test_auxiliary_heads_may_be_left_out():
    model = build_model(bound("googlenet", aux_logits=False), Info())
    output = model(torch.randn(2, 3, 64, 64))
    assert main_output(output).shape == (2, 7)
    assert auxiliary_outputs(output) == []


def test_nothing_is_downloaded_unless_asked(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a download")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    build_model(bound("googlenet"), Info())
    build_model(bound("resnet18", weights=None), Info())


def test_weights_that_are_asked_for_are_fetched_and_loaded(monkeypatch):
    state = torchvision.models.googlenet(init_weights=False).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: state)
    model = build_model(bound("googlenet", weights="DEFAULT"), Info(classes=1000))
    assert torch.equal(model.fc.weight, state["fc.weight"])


def test_weights_of_other_classes_are_an_error_of_the_configuration():
    with pytest.raises(ConfigError, match="num_classes"):
        build_model(bound("resnet18", weights="DEFAULT"), Info())


@pytest.mark.parametrize(
    ("argument", "layer"),
    [
        ("num_classes", "layer 'fc', Linear(in_features=512, out_features=5"),
        ("in_channels", "layer 'conv1', Conv2d(5, 64"),
    ],
)
def test_a_number_that_is_not_that_of_the_data_is_told_with_its_layer(argument, layer):
    with pytest.raises(ConfigError) as caught:
        build_model(bound("ResNet18", **{argument: 5}), Info())
    assert layer in caught.value.problems[0].found
