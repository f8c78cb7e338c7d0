"""Tensors of several processes made the same, in a few large pieces: gradients summed, others those of the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["broadcast", "forms", "sum_gradients"]

_BUCKET = 1 << 25  # bytes
_NONE, _SPARSE, _DENSE = range(3)


def forms(parameters: Iterable[nn.Parameter]) -> tuple[int, ...]:
    """Whether each has no gradient, a sparse one, or a dense one; of several processes the largest number holds."""
    gradients = [parameter.grad for parameter in parameters]
    return tuple(_NONE if g is None else _SPARSE if g.is_sparse else _DENSE for g in gradients)


def sum_gradients(
    parameters: Sequence[nn.Parameter], held: Sequence[int], factor: float | Tensor, gather: Callable[[Any], list[Any]]
) -> None:
    """Replace the gradients by `factor` times them, summed over the processes.

    Args:
        held: the form that each has over all processes.
        gather: gives what every process has, by rank.
    """
    dense, sparse = [], []
    for parameter, form in zip(parameters, held, strict=True):
        if form == _DENSE:
            if parameter.grad is None:  # used by another process only
                parameter.grad = torch.zeros_like(parameter)
            elif parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()
            dense.append(parameter.grad)
        elif form == _SPARSE:
            sparse.append(parameter)
    waiting: list[tuple[Any, Tensor, list[Tensor]]] = []
    for bucket in _buckets(dense):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        if isinstance(factor, Tensor) or factor != 1.0:
            flat.mul_(factor)
        waiting.append((dist.all_reduce(flat, async_op=True), flat, bucket))
    if sparse:
        _sum_sparse(sparse, factor, gather)
    for work, flat, bucket in waiting:
        work.wait()
        parts = _split(flat, bucket)
        torch._foreach_copy_(bucket, [part.view(g.shape) for part, g in zip(parts, bucket, strict=True)])


def broadcast(tensors: Sequence[Tensor]) -> None:
    """Make tensors those of the first process, in place."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.broadcast(flat, 0)
        for tensor, part in zip(bucket, _split(flat, bucket), strict=True):
            tensor.copy_(part.view_as(tensor))


def _sum_sparse(parameters: Sequence[nn.Parameter], factor: float | Tensor, gather: Callable[[Any], list[Any]]) -> None:
    """Of embeddings: the rows that any of the processes has, over the host, in the order of the ranks."""
    own: list[tuple[Tensor, Tensor] | None] = []
    for parameter in parameters:
        if parameter.grad is None:
            own.append(None)
        else:
            gradient = parameter.grad.coalesce()
            own.append((gradient.indices().cpu(), (gradient.values() * factor).cpu()))
    for parameter, parts in zip(parameters, zip(*gather(own), strict=True), strict=True):
        indices, values = zip(*(part for part in parts if part is not None), strict=True)
        held = torch.cat(indices, 1), torch.cat(values)
        whole = torch.sparse_coo_tensor(*held, parameter.shape, check_invariants=True)
        parameter.grad = whole.to(parameter.device).coalesce()


def _split(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.split(flat, [tensor.numel() for tensor in tensors])


def _buckets(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups of one type and device and of some size, in order."""
    groups: dict[tuple[torch.dtype, torch.device], list[list[Tensor]]] = {}
    sizes: dict[tuple[torch.dtype, torch.device], int] = {}
    for tensor in tensors:
        kind = (tensor.dtype, tensor.device)
        size = tensor.numel() * tensor.element_size()
        if kind not in groups or sizes[kind] + size > _BUCKET:
            groups.setdefault(kind, []).append([])
            sizes[kind] = 0
        groups[kind][-1].append(tensor)
        sizes[kind] += size
    return [bucket for buckets in groups.values() for bucket in buckets]
