"""Tensors of which every process holds some rows (`DTensor`), as FSDP makes of parameters."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

__all__ = ["is_sharded", "own_part", "rows_of", "sharded_like"]


def is_sharded(tensor: Any) -> bool:
    """Whether it is one; where nothing has made any, their module (half a second) is not imported to ask."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of it; the tensor itself where it is whole."""
    return tensor.detach()._local_tensor if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def rows_of(length: int, rank: int, size: int) -> tuple[int, int]:
    """The first row of a process and the one after its last, as `torch.chunk` cuts: the last ones may have none."""
    each = -(-length // size)
    return min(length, rank * each), min(length, (rank + 1) * each)


def sharded_like(whole: Any, like: Any) -> Any:
    """A tensor that every process has, as one that is spread as `like` is; nothing is sent. What is spread already, and
    anything where `like` is not, is returned as it is.

    A tensor of another shape (some states of optimizers) is whole in every process.
    """
    if not is_sharded(like) or is_sharded(whole) or not isinstance(whole, Tensor) or not whole.ndim:
        return whole
    from torch.distributed.tensor import DTensor, Replicate, Shard

    mesh = like.device_mesh
    placement: Replicate | Shard
    held, placement = whole.to(like.device), Replicate()
    if whole.shape == like.shape and tuple(like.placements) == (Shard(0),):
        first, last = rows_of(len(whole), mesh.get_local_rank(), mesh.size())
        held, placement = whole[first:last].to(like.device, copy=True).contiguous(), Shard(0)
    stride = torch.empty(whole.shape, device="meta").stride()
    return DTensor.from_local(held, mesh, (placement,), run_check=False, shape=whole.shape, stride=stride)
