"""Values of Python as tensors and plain types, which a checkpoint may hold (`weights_only=True`), and back."""

from __future__ import annotations

import enum
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.schedulers.plain import NotPlain
from assay.utils.sharded import is_sharded

__all__ = ["GENERATORS", "MemberName", "decoded", "encoded", "module_state", "set_generator"]

_SCALARS = (NoneType, bool, int, float, complex, str)
_MAPPINGS = (dict, OrderedDict, Counter)
_ITEMS = (list, tuple, set)
GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
"""Sources of random numbers: their state is held, and put back into the object that is there."""

_FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, list, set, dict, deque)}
# The key that marks what stands for another type.
_KIND = "assay:kind"


class MemberName(str):
    """Which member of an enumeration it was; of which one, the object says that is there."""


def encoded(value: Any, path: str) -> Any:
    """The value in types that a checkpoint may hold; tensors are those in use, not copies.

    Args:
        path: what the value is called in an error.

    Raises:
        NotPlain: it is, or holds, something else.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter) and not is_sharded(value):
        is_trained = value.requires_grad and value.is_leaf
        return {_KIND: "leaf", "data": value.detach()} if is_trained else value.detach()
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        array = np.ascontiguousarray(value)
        data = torch.from_numpy(np.frombuffer(array.tobytes(), dtype=np.uint8).copy()) if array.size else torch.empty(0)
        return {_KIND: "numpy", "type": array.dtype.str, "shape": list(np.shape(value)), "data": data,
                "scalar": isinstance(value, np.generic)}  # fmt: skip
    if kind in _MAPPINGS:
        return kind({_key(key, path): encoded(item, f"{path}[{key!r}]") for key, item in value.items()})
    if kind is defaultdict and value.default_factory in (None, *_FACTORIES.values()):
        factory = value.default_factory and value.default_factory.__name__
        return {_KIND: "defaultdict", "items": encoded(dict(value), path), "factory": factory}
    if kind is set:
        return {_key(item, path) for item in value}
    if kind in _ITEMS:
        return kind(encoded(item, path) for item in value)
    if kind is deque:
        return {_KIND: "deque", "items": [encoded(item, path) for item in value], "longest": value.maxlen}
    if isinstance(value, enum.Enum):
        return {_KIND: "enum", "name": value.name}
    if isinstance(value, bytes | bytearray):
        return {_KIND: kind.__name__, "items": list(value)}
    if isinstance(value, GENERATORS):
        return {_KIND: "generator", "state": encoded(_state_of(value), path)}
    raise NotPlain(f"{path}, a {kind.__module__}.{kind.__qualname__}")


def _key(value: Any, path: str) -> Any:
    """What can be a key: NumPy's numbers are equal to Python's, and have the same hash."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(_key(item, path) for item in value) if type(value) is tuple else encoded(value, path)


def module_state(module: Any, path: str) -> dict[str, Any]:
    """The state_dict of a module, or of another object that has one, with what is not a tensor encoded.

    Raises:
        NotPlain: it holds something that a checkpoint cannot.
    """
    state: Any = module.state_dict()
    if not isinstance(module, nn.Module):
        return encoded(state, path)  # type: ignore[no-any-return]  # a dict stays one
    for key, value in state.items():  # in place: torch keeps its version beside the items
        if not isinstance(value, Tensor):
            state[key] = encoded(value, f"{path}.{key}")
    return state  # type: ignore[no-any-return]


def decoded(held: Any) -> Any:
    """What `encoded` was given; of a generator its state, for `set_generator`."""
    kind = type(held)
    if kind in _ITEMS:
        return kind(decoded(item) for item in held)
    if not isinstance(held, Mapping):
        return held
    if _KIND not in held:
        for key, item in held.items():  # in place: torch's own state_dict has its version beside its items
            if isinstance(item, (Mapping, *_ITEMS)):
                held[key] = decoded(item)  # type: ignore[index]  # what a checkpoint holds are dicts
        return held
    match held[_KIND]:
        case "numpy":
            array = np.frombuffer(held["data"].cpu().numpy().tobytes(), dtype=held["type"]).reshape(held["shape"])
            return array[()] if held["scalar"] else array.copy()
        case "enum":
            return MemberName(held["name"])
        case "leaf":
            return held["data"].requires_grad_()
        case "defaultdict":
            return defaultdict(_FACTORIES.get(held["factory"]), decoded(held["items"]))
        case "deque":
            return deque(decoded(held["items"]), held["longest"])
        case "bytes":
            return bytes(held["items"])
        case "bytearray":
            return bytearray(held["items"])
        case _:
            return decoded(held["state"])


def set_generator(generator: Any, state: Any) -> None:
    """Put a generator where it was."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()
