"""Scheduler states as types that `torch.load(weights_only=True)` reads."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from types import NoneType
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["NotPlain", "plain_state"]

_SCALARS = (NoneType, bool, int, float, complex, str)
_MAPPINGS = (dict, OrderedDict, Counter)
_ITEMS = (list, tuple, set)
# Where torch keeps the attributes of the user's callables, which it updates one by one on loading.
_OF_CALLABLES = ("lr_lambdas", "_scale_fn_custom")


class NotPlain(Exception):
    """Something in a state that a checkpoint cannot hold; `found` names it."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


def plain_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of a state without what its constructor makes anew: functions, and the optimizer itself.

    Raises:
        NotPlain: a value is neither plain nor made anew.
    """
    return {key: _entry(key, value) for key, value in state.items() if not _made_anew(value)}


def _entry(key: str, value: Any) -> Any:
    if key in _OF_CALLABLES:
        if isinstance(value, Mapping):
            return plain_state(value)
        if isinstance(value, list):
            return [None if attributes is None else plain_state(attributes) for attributes in value]
    return _plain(value, key)


def _made_anew(value: Any) -> bool:
    """Whether it is, or holds, something that a checkpoint has no business with."""
    if type(value) in _ITEMS:
        return any(_made_anew(item) for item in value)
    return callable(value) or isinstance(value, Optimizer)


def _plain(value: Any, path: str) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.generic):
        return value.item()
    if kind in _MAPPINGS:
        copy = {_plain(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
        return kind(copy)
    if kind in _ITEMS:
        return kind(_plain(item, path) for item in value)
    raise NotPlain(f"{path}, a {kind.__module__}.{kind.__qualname__}")
