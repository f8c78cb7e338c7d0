"""Mirror left and right at random."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from assay.data.transforms.base import BaseTransform
from assay.utils.seeds import uniform

__all__ = ["RandomHorizontalFlip"]


class RandomHorizontalFlip(BaseTransform):
    """Mirrors an image left to right with probability `p`. (B, C, H, W) -> the same shape and dtype."""

    def __init__(self, p: Annotated[float, Interval(ge=0, le=1)] = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, and {p} is none")
        self.p = p

    def __call__(self, images: Tensor, keys: NDArray[np.uint64], purpose: int) -> Tensor:
        flipped = np.flatnonzero(uniform(keys, 1, purpose)[:, 0] < self.p)
        out = images.numpy().copy()
        out[flipped] = out[flipped][..., ::-1]
        return torch.from_numpy(out)
