"""The residual block of deep ResNets."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from assay.model.blocks.shortcut import projection

__all__ = ["Bottleneck"]


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions beside a shortcut: (B, C, H, W) -> (B, 4·channels, H/stride, W/stride).

    The stride is in the 3×3 convolution ("ResNet v1.5"), as in torchvision: it loses less than in the
    first 1×1.
    Source: He et al., 2015, figure 5 right, https://arxiv.org/abs/1512.03385.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)  # type: ignore[no-any-return]
