"""Which tensors of a snapshot hold numbers that are not finite: none of these is ever published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

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
    named = [(name, tensor) for name, tensor in _named(parts, "") if tensor.numel() and tensor.is_floating_point()]
    if not named or _all_finite([tensor for _, tensor in named]):
        return []
    return [name for name, tensor in named if not _all_finite([tensor])]


def _all_finite(tensors: list[Tensor]) -> bool:
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor.detach())
    for (_, dtype), group in groups.items():
        if dtype.itemsize < 2 or any(tensor.layout is not torch.strided for tensor in group):
            if not all(bool(torch.isfinite(tensor.to_dense().float()).all()) for tensor in group):
                return False
        # The largest absolute value is infinite or NaN where one is; unlike a sum it cannot overflow.
        elif not bool(torch.isfinite(torch.stack(torch._foreach_norm(group, float("inf")))).all()):
            return False
    return True


def _named(held: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(held, Tensor):
        yield name, held
    elif isinstance(held, Mapping):
        for key, part in held.items():
            yield from _named(part, f"{name}.{key}" if name else str(key))
    elif isinstance(held, list | tuple):
        for number, part in enumerate(held):
            yield from _named(part, f"{name}.{number}")
