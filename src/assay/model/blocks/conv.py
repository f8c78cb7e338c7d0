"""The block of plain convolutional networks."""

from __future__ import annotations

from torch import nn

__all__ = ["ConvBlock"]


class ConvBlock(nn.Sequential):
    """Convolution, ReLU, 2×2 max-pooling: (B, in_channels, H, W) -> (B, out_channels, H'/2, W'/2).

    H' = H + 2·padding - kernel_size + 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
