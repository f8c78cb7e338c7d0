"""Shift and scale each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt
from numpy.typing import NDArray
from torch import Tensor

from assay.data.transforms.base import BaseTransform
from assay.errors import DataError

__all__ = ["Normalize"]


class Normalize(BaseTransform):
    """(image - mean) / std per channel; uint8 images are scaled to [0, 1] first. (B, C, ...) -> the same
    shape, float.

    Args:
        mean: one number per channel, on the scale [0, 1].
        std: one number per channel, on the same scale.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[Annotated[float, Gt(0)]]) -> None:
        if len(mean) != len(std) or not mean:
            raise ValueError(f"mean has {len(mean)} numbers and std {len(std)}: one per channel is needed in each")
        if not all(value > 0 for value in std):
            raise ValueError(f"every std must be greater than 0, not {list(std)}")
        self.mean = [float(value) for value in mean]
        self.std = [float(value) for value in std]

    def __call__(self, images: Tensor, keys: NDArray[np.uint64], purpose: int) -> Tensor:
        if images.ndim < 2 or images.shape[1] != len(self.mean):
            raise DataError(
                "Normalize has another number of channels than the images",
                found=f"a batch of shape {tuple(images.shape)}",
                expected=f"(batch, {len(self.mean)}, ...)",
                hint="give mean and std one number for each channel of the images",
            )
        if images.dtype == torch.uint8:
            # In the order of torchvision's to_dtype and normalize, so that the result is theirs to the bit.
            scaled = images.to(torch.float32).mul_(1.0 / 255)
        elif images.is_floating_point():
            scaled = images.clone()
        else:
            raise DataError(
                "Normalize takes uint8 or floating images",
                found=str(images.dtype).removeprefix("torch."),
                hint="have the dataset return uint8 in [0, 255] or floats in [0, 1]",
            )
        shape = (1, -1) + (1,) * (images.ndim - 2)
        mean = torch.tensor(self.mean, dtype=scaled.dtype).view(shape)
        std = torch.tensor(self.std, dtype=scaled.dtype).view(shape)
        return scaled.sub_(mean).div_(std)
