"""Residual networks of any depth.

Source: He et al., "Deep residual learning for image recognition", 2015, https://arxiv.org/abs/1512.03385.
Parameters have torchvision's names and shapes: weights of either load into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from assay.errors import ConfigError, Problem
from assay.model.blocks.basic import BasicBlock
from assay.model.blocks.bottleneck import Bottleneck

__all__ = ["ResNet", "ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"]

Stem = Literal["cifar", "imagenet"]
Width = Annotated[int, Ge(1)]


class ResNet(nn.Module):
    """(B, in_channels, H, W) -> (B, num_classes); every stage after the first has half the size, twice the
    width.

    Args:
        blocks: residual blocks in each stage; as many stages as there are numbers.
        width: channels of the first stage (of its 3×3 convolutions).
        block: `basic` (two 3×3) or `bottleneck` (1×1, 3×3, 1×1, four times as many channels out).
        stem: `cifar`, one 3×3 convolution, for pictures of about 32 pixels; `imagenet`, a 7×7 one with
            stride 2 and max-pooling, which makes them four times smaller, for pictures of about 224.

    Raises:
        ConfigError: there is no stage, a stage without blocks, or no width.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        blocks: Sequence[Annotated[int, Ge(1)]] = (2, 2, 2, 2),
        width: Width = 64,
        block: Literal["basic", "bottleneck"] = "basic",
        stem: Stem = "cifar",
    ) -> None:
        super().__init__()
        if not blocks or min(blocks) < 1:
            _refuse("blocks", list(blocks), "at least one stage, each with at least one block")
        if width < 1:
            _refuse("width", width, "at least 1")
        block_class: type[BasicBlock | Bottleneck] = BasicBlock if block == "basic" else Bottleneck
        small = stem == "cifar"
        self.conv1 = nn.Conv2d(
            in_channels,
            width,
            kernel_size=3 if small else 7,
            stride=1 if small else 2,
            padding=1 if small else 3,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        widths = [width * 2**stage for stage in range(len(blocks))]
        inputs = [width, *(channels * block_class.expansion for channels in widths)]
        self.stages = [f"layer{stage + 1}" for stage in range(len(blocks))]
        for stage, (name, depth) in enumerate(zip(self.stages, blocks, strict=True)):
            layers = [block_class(inputs[stage], widths[stage], stride=1 if stage == 0 else 2)]
            layers += [block_class(inputs[stage + 1], widths[stage]) for _ in range(depth - 1)]
            self.add_module(name, nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        x = self.avgpool(x).flatten(1)
        return self.fc(x)  # type: ignore[no-any-return]


class ResNet18(ResNet):
    def __init__(self, num_classes: int, in_channels: int = 3, width: Width = 64, stem: Stem = "cifar") -> None:
        super().__init__(num_classes, in_channels, (2, 2, 2, 2), width, "basic", stem)


class ResNet34(ResNet):
    def __init__(self, num_classes: int, in_channels: int = 3, width: Width = 64, stem: Stem = "cifar") -> None:
        super().__init__(num_classes, in_channels, (3, 4, 6, 3), width, "basic", stem)


class ResNet50(ResNet):
    def __init__(self, num_classes: int, in_channels: int = 3, width: Width = 64, stem: Stem = "cifar") -> None:
        super().__init__(num_classes, in_channels, (3, 4, 6, 3), width, "bottleneck", stem)


class ResNet101(ResNet):
    def __init__(self, num_classes: int, in_channels: int = 3, width: Width = 64, stem: Stem = "cifar") -> None:
        super().__init__(num_classes, in_channels, (3, 4, 23, 3), width, "bottleneck", stem)


class ResNet152(ResNet):
    def __init__(self, num_classes: int, in_channels: int = 3, width: Width = 64, stem: Stem = "cifar") -> None:
        super().__init__(num_classes, in_channels, (3, 8, 36, 3), width, "bottleneck", stem)


def _refuse(argument: str, found: object, expected: str) -> None:
    problem = Problem(f"ResNet: {argument} is out of range", None, f"model.args.{argument}", str(found), expected)
    raise ConfigError.of(problem)
