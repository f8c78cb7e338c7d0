"""Which tensors of a snapshot hold numbers that are not finite: none of these is ever published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from assay.utils.sharded import own_part

__all__ = ["not_finite"]

# Sums of a metric, and what a scheduler keeps, may be infinite; what the weights come from may not.
_PARTS = ("optimizer", "loss", "own")


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Of what `snapshot.take` gives: parameters, buffers, their moving average, the optimizer's state, a loss's and a
    trainer's own tensors. One pass over the numbers, and one wait for the device.

    Returns: the names, such as `model.layer1.weight` or `optimizer.state.fc.bias.exp_avg`.
    """
    parts = {name: held for name, held in tensors.items() if name != "training"}
    parts |= {name: held for name, held in tensors.get("training", {}).items() if name in _PARTS}
    named = [(name, own_part(tensor).detach()) for name, tensor in _named(parts, "") if tensor.is_floating_point()]
    # Eight times as fast as a look at each number; a sum may overflow, so that it convicts nobody.
    sums = [_dense(tensor).sum(dtype=torch.float32) for _, tensor in named]
    if all(torch.isfinite(torch.stack(group)).all() for group in _by_device(sums)):
        return []
    return [name for name, tensor in named if not torch.isfinite(_dense(tensor)).all()]


def _dense(tensor: Tensor) -> Tensor:
    """As kernels take it: most have none for sparse tensors and for floats of one byte."""
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return tensor if tensor.dtype.itemsize > 1 else tensor.float()


def _by_device(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.device, []).append(tensor)
    return list(groups.values())


def _named(held: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(held, Tensor):
        yield name, held
    elif isinstance(held, Mapping):
        for key, part in held.items():
            yield from _named(part, f"{name}.{key}" if name else str(key))
    elif isinstance(held, list | tuple):
        for number, part in enumerate(held):
            yield from _named(part, f"{name}.{number}")
