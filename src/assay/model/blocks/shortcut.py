"""The path beside a residual branch."""

from __future__ import annotations

from torch import nn

__all__ = ["projection"]


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """A 1×1 convolution where the shape changes, and nothing where it does not (option B of He et al., 2015).

    (B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)
    """
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
