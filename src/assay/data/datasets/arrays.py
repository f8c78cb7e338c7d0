"""A dataset whose samples all lie in memory."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.datasets.base import BaseDataset

__all__ = ["ArrayDataset"]


class ArrayDataset(BaseDataset):
    """Inputs (N, ...) and targets (N, ...) as two tensors; images stay uint8 (N, C, H, W)."""

    def __init__(self, split: str, inputs: Tensor, targets: Tensor) -> None:
        super().__init__(split)
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs have {len(targets)} targets")
        self.inputs = inputs.contiguous()
        self.targets = targets.contiguous()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]

    def __getitems__(self, indices: NDArray[Any] | list[int]) -> tuple[Tensor, Tensor]:
        rows = np.asarray(indices, dtype=np.int64)
        # NumPy gathers rows faster than torch's index_select.
        return torch.from_numpy(self.inputs.numpy()[rows]), torch.from_numpy(self.targets.numpy()[rows])

    @cached_property
    def sha256(self) -> str:
        """Of the shapes, dtypes and contents of both arrays."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.targets):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().data)
        return digest.hexdigest()
