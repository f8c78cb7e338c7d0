from __future__ import annotations

import pytest
import torch
import torchvision

from assay.errors import ConfigError
from assay.model.architectures import resnet
from assay.model.architectures.resnet import ResNet, ResNet18, ResNet50


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_with_the_imagenet_stem_the_tensors_are_torchvisions(depth):
    with torch.device("meta"):
        ours = getattr(resnet, f"ResNet{depth}")(1000, stem="imagenet")
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.state_dict().items()}


def test_resnet50_has_25_557_032_parameters():
    with torch.device("meta"):
        assert parameters(ResNet50(1000, stem="imagenet")) == 25_557_032


@pytest.mark.parametrize("depth", [18, 50])
def test_with_torchvisions_weights_the_outputs_are_torchvisions(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).eval()
    ours = getattr(resnet, f"ResNet{depth}")(7, stem="imagenet").eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("blocks", [[1], [1, 2], [1, 1, 1, 1, 1]])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_any_number_of_stages_doubles_the_width_and_halves_the_picture(blocks, block):
    model = ResNet(3, in_channels=1, blocks=blocks, width=2, block=block)
    seen = []
    model.avgpool.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 3)
    expansion = 4 if block == "bottleneck" else 1
    halvings = len(blocks) - 1
    assert seen == [(2, 2 * 2**halvings * expansion, 32 // 2**halvings, 32 // 2**halvings)]
    assert [len(getattr(model, f"layer{i + 1}")) for i in range(len(blocks))] == blocks


def test_the_cifar_stem_keeps_the_size_and_the_imagenet_stem_quarters_it():
    sizes = {}
    for stem in ("cifar", "imagenet"):
        model = ResNet(3, blocks=[1], width=4, stem=stem)
        model.layer1.register_forward_pre_hook(lambda m, args, stem=stem: sizes.update({stem: args[0].shape[-1]}))
        model(torch.randn(1, 3, 32, 32))
    assert sizes == {"cifar": 32, "imagenet": 8}


def test_resnet18_is_the_resnet_with_two_basic_blocks_a_stage():
    with torch.device("meta"):
        assert parameters(ResNet18(10)) == parameters(ResNet(10, blocks=[2, 2, 2, 2])) == 11_173_962


@pytest.mark.parametrize(
    ("arguments", "key"),
    [({"blocks": []}, "blocks"), ({"blocks": [1, 0]}, "blocks"), ({"width": 0}, "width")],
)
def test_an_impossible_size_is_refused_by_its_key(arguments, key):
    with pytest.raises(ConfigError) as error:
        ResNet(10, **arguments)
    assert error.value.problems[0].key == f"model.args.{key}"


def test_digits_of_8_by_8_go_through_three_stages():
    model = ResNet(10, in_channels=1, blocks=[1, 1, 1], width=16)
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)
