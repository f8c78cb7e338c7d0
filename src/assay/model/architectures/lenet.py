"""The first convolutional network that was put to work."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from assay.errors import ConfigError, Problem
from assay.model.blocks.conv import ConvBlock
from assay.model.blocks.dense import DenseBlock

__all__ = ["LeNet"]


class LeNet(nn.Module):
    """(B, C, H, W) -> (B, num_classes), for pictures of any size from 12×12 up.

    LeNet-5 with ReLU, max-pooling and a linear last layer, as it is used today; LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998,
    http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf.

    Args:
        input_shape: (C, H, W) of one picture.

    Raises:
        ConfigError: the pictures are too small.
    """

    def __init__(self, num_classes: int, input_shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 12:
            found = "x".join(str(size) for size in input_shape)
            problem = Problem(
                "LeNet needs larger pictures", None, "model.type", found, "CxHxW with H and W of at least 12"
            )
            raise ConfigError.of(problem)
        channels, height, width = input_shape
        self.features = nn.Sequential(
            ConvBlock(channels, 6, kernel_size=5, padding=2),  # (B, 6, H/2, W/2)
            ConvBlock(6, 16, kernel_size=5),  # (B, 16, (H/2-4)/2, (W/2-4)/2)
        )
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.classifier = nn.Sequential(DenseBlock(flat, 120), DenseBlock(120, 84), nn.Linear(84, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]
