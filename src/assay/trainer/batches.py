"""Batches of any shape: a tensor, or tuples, lists and dictionaries of them; the first dimension is the sample."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from assay.errors import DataError

__all__ = ["count_samples", "cut_batch", "first_images", "split_batch", "tensors_of", "to_device"]


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """All that are in it, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors_of(value)
    elif isinstance(batch, (tuple, list, deque)):
        for value in batch:
            yield from tensors_of(value)


def _map(batch: Any, change: Any) -> Any:
    if isinstance(batch, Mapping):
        return {key: _map(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_map(value, change) for value in batch))
    if isinstance(batch, (tuple, list)) and not all(isinstance(value, str) for value in batch):
        return type(batch)(_map(value, change) for value in batch)
    return change(batch)


def count_samples(batch: Any) -> int:
    """The number of samples: the length of the first tensor."""
    for tensor in tensors_of(batch):
        if tensor.ndim:
            return tensor.shape[0]
    raise DataError("a batch holds no tensor with a first dimension", found=type(batch).__name__)


def split_batch(batch: Any, size: int) -> list[Any]:
    """Pieces of at most `size` samples, in order; the last one may be smaller."""
    total = count_samples(batch)
    if total <= size:
        return [batch]
    return cut_batch(batch, [min(size, total - start) for start in range(0, total, size)])


def cut_batch(batch: Any, sizes: Sequence[int]) -> list[Any]:
    """Pieces of these sizes, in order."""
    total = sum(sizes)
    if len(sizes) == 1:
        return [batch]
    pieces, start = [], 0
    for size in sizes:

        def cut(leaf: Any, start: int = start, size: int = size) -> Any:
            return leaf[start : start + size] if hasattr(leaf, "__len__") and len(leaf) == total else leaf

        pieces.append(_map(batch, cut))
        start += size
    return pieces


def to_device(batch: Any, device: torch.device, dtype: torch.dtype, memory_format: torch.memory_format) -> Any:
    """Every tensor on the device; floating-point ones in `dtype`, pictures in `memory_format`."""

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        kind = dtype if leaf.is_floating_point() else None
        moved = leaf.to(device, kind, non_blocking=True)
        return moved.contiguous(memory_format=memory_format) if moved.ndim == 4 else moved

    return _map(batch, move)


def first_images(batch: Any) -> Tensor | None:
    """The first tensor of a batch if it looks like pictures, (B, C, H, W) with 1, 3 or 4 channels."""
    for tensor in tensors_of(batch):
        return tensor if tensor.ndim == 4 and tensor.shape[1] in (1, 3, 4) else None
    return None
