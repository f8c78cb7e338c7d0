"""Datasets and transforms as a user would write them, small enough to look at every number."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from assay.config.binding import Bound
from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo


def bound(obj: Any, **args: Any) -> Bound:
    return Bound(getattr(obj, "__name__", "object"), obj, args)


class Numbered(ArrayDataset):
    """Sample i is an image (1, 4, 4) uint8 full of i; whole batches."""

    def __init__(self, split: str = "train", size: int = 20) -> None:
        images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 4, 4)
        super().__init__(split, images, torch.arange(size))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(shape=(1, 4, 4), classes=len(self), sha256=self.sha256)


class OneByOne(Dataset[Any]):
    """The same samples, one at a time, in a plain torch dataset that takes no split."""

    def __init__(self, size: int = 20) -> None:
        self.images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 4, 4)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], index


class Faulty(OneByOne):
    """Sample 7 cannot be read."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7:
            raise ValueError("the seventh is broken")
        return super().__getitem__(index)


class Noise:
    """A transform of single images that draws from all three global generators, and works in place."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, image: Tensor) -> Tensor:
        noise = random.random() + np.random.rand() + torch.rand(image.shape)
        image += (self.scale * noise).to(image.dtype)
        return image


class ToFloat:
    """uint8 to float, unscaled."""

    def __call__(self, image: Tensor) -> Tensor:
        return image.float()
