"""The residual block of shallow ResNets."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from assay.model.blocks.shortcut import projection

__all__ = ["BasicBlock"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: (B, in_channels, H, W) -> (B, channels, H/stride, W/stride).

    Source: He et al., 2015, figure 5 left, https://arxiv.org/abs/1512.03385.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)  # type: ignore[no-any-return]
