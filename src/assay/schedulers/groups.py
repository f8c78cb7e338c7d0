"""The parameter groups of an optimizer, as far as schedulers write to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

__all__ = ["SCHEDULED", "base_rate", "put", "rates", "ratios", "restore", "scheduled", "untouched"]

# What torch's schedulers set in a group.
SCHEDULED = ("lr", "initial_lr", "max_lr", "min_lr", "momentum", "max_momentum", "base_momentum", "betas")


def rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of every group now."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def ratios(optimizer: Optimizer) -> list[float]:
    """The rate of every group over the optimizer's own (the first group's where it has none)."""
    own = float(optimizer.defaults.get("lr") or 0.0) or float(optimizer.param_groups[0]["lr"])
    return [rate / own if own else 1.0 for rate in rates(optimizer)]


def base_rate(optimizer: Optimizer, of: Sequence[float]) -> float:
    """The rate that, times the ratios `of`, gives the rates of the groups now."""
    for rate, ratio in zip(rates(optimizer), of, strict=True):
        if ratio:
            return rate / ratio
    return 0.0


def put(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a value of a group; a tensor stays that tensor, for a captured or compiled step may read it."""
    current = group.get(key)
    if isinstance(current, Tensor):
        current.fill_(float(value))
    elif current is not None and isinstance(value, Tensor):
        group[key] = float(value)
    else:
        group[key] = _copy(value)


def scheduled(optimizer: Optimizer) -> list[dict[str, Any]]:
    """A copy of what schedulers set, for every group."""
    return [{key: _copy(group[key]) for key in SCHEDULED if key in group} for group in optimizer.param_groups]


def restore(optimizer: Optimizer, saved: Sequence[Mapping[str, Any]]) -> None:
    """Put back what `scheduled` gave."""
    for group, values in zip(optimizer.param_groups, saved, strict=True):
        for key in SCHEDULED:
            if key in values:
                put(group, key, values[key])
            else:
                group.pop(key, None)


@contextmanager
def untouched(optimizer: Optimizer) -> Iterator[None]:
    """Whatever is done to the groups inside is undone at the end."""
    before = [
        {key: (value, _copy(value)) for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, before, strict=True):
            for key in group.keys() - values.keys() - {"params"}:
                del group[key]
            for key, (value, copy) in values.items():
                if isinstance(value, Tensor):
                    value.copy_(copy)
                group[key] = value


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
