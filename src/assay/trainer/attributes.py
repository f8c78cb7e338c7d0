"""What models, losses, metrics, optimizers and trainers keep beside their state_dict and change while they train.

A counter of a module, the deque of a trainer, a generator of one's own, a buffer with `persistent=False`: torch saves
none of them. Here each that has changed since the objects were built is found and goes into the checkpoint.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.schedulers.plain import NotPlain
from assay.trainer.plain import GENERATORS, encoded, set_generator

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["Attributes", "holders", "parts_with_state"]

# Of a trainer: what is saved by name, what is built anew, and what is the loop's.
KNOWN = frozenset({"parts", "model", "loss", "optimizer", "schedulers", "scaler", "average", "monitor", "progress"})
KNOWN |= {"metrics", "attachments", "signals", "device", "last_batch", "followed", "not_held", "strategy", "is_whole"}
# What torch itself keeps in a module and in an optimizer.
_OF_TORCH = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
_OF_OPTIMIZERS = frozenset(vars(torch.optim.SGD([torch.zeros(1)], lr=0.1)))
_OF_OPTIMIZERS |= {"_opt_called", "_params", "_numel_cache"}
_FOREIGN = {"torch", "torchvision", "torchmetrics", "numpy", "assay", "builtins"}
# Most attributes are one of these: known by their type alone, they cost a save next to nothing.
_SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None)})
# A tensor of more bytes is not summed: it has changed where it is another one, or torch counts another version of it.
_SUMMED = 1 << 24

Held = dict[str, dict[str, Any]]


class Attributes:
    """Follows the attributes of everything that a trainer trains with, from the moment that this is made.

    Only what has changed is held: an argument of a constructor keeps the value that a resume gives it.
    """

    def __init__(self, trainer: BaseTrainer) -> None:
        self._signs = {(path, name): _sign(value) for path, _, own in holders(trainer) for name, value in own}

    def take(self, trainer: BaseTrainer) -> tuple[Held, dict[str, str]]:
        """By path of the object and name: what has changed; and what has changed and cannot be held, with its type."""
        held: Held = {}
        lost: dict[str, str] = {}
        for path, _, own in holders(trainer):
            for name, value in own:
                if self._signs.get((path, name)) == _sign(value):
                    continue
                try:
                    held.setdefault(path, {})[name] = encoded(value, f"{path}.{name}")
                except NotPlain:
                    if not _is_code(value):
                        lost[f"{path}.{name}"] = type(value).__qualname__
        return held, lost

    def restore(self, trainer: BaseTrainer, held: Mapping[str, Mapping[str, Any]]) -> None:
        """Set what `take` gave (decoded), in the objects that are there: others may hold them as well."""
        remaining = {path: dict(values) for path, values in held.items()}
        # An object may hang on an attribute that is set here first.
        while found := [(path, one) for path, one, _ in holders(trainer) if path in remaining]:
            for path, one in found:
                for name, value in remaining.pop(path, {}).items():
                    there = getattr(one, name, None)
                    buffer = one._buffers.get(name) if isinstance(one, nn.Module) else None
                    if buffer is not None and _fits(buffer, value):
                        buffer.copy_(value)
                    # Another tensor is replaced: the one that is there may be a view of a parameter.
                    elif (restored := _put_back(there, value)) is not there:
                        setattr(one, name, restored)


def parts_with_state(trainer: BaseTrainer) -> dict[str, Any]:
    """What a subclass has set on itself, alone or in a list, tuple or dict, that has a state_dict: name -> object."""
    found: dict[str, Any] = {}

    def look(name: str, value: Any) -> None:
        if hasattr(value, "state_dict") and hasattr(value, "load_state_dict") and not isinstance(value, type):
            found[name] = value
        elif type(value) in (list, tuple, deque):
            for number, item in enumerate(value):
                look(f"{name}.{number}", item)
        elif isinstance(value, dict):
            for key, item in value.items():
                look(f"{name}.{key}", item)

    for name, value in vars(trainer).items():
        if name not in KNOWN:
            look(name, value)
    return found


def holders(trainer: BaseTrainer) -> Iterator[tuple[str, Any, list[tuple[str, Any]]]]:
    """Every object whose attributes are followed: its path, itself, and what of it is in no state_dict, by name."""
    seen: set[int] = set()
    roots: list[tuple[str, Any]] = [("trainer", trainer), ("model", trainer.model), ("loss", trainer.loss)]
    if trainer.average is not None:
        roots.append(("average", trainer.average.module))
    roots.append(("optimizer", trainer.optimizer))
    for phase, metrics in trainer.metrics.items():
        roots += [(f"metrics.{phase}.{name}", metric) for name, metric in metrics.metrics.items()]
    roots += [(f"trainer.{name}", part) for name, part in parts_with_state(trainer).items()]
    while roots:
        path, one = roots.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        own = list(_own_attributes(one, path))
        yield path, one, own
        if isinstance(one, nn.Module):
            roots += [(f"{path}.{name}", child) for name, child in one.named_children()]
        roots += [(f"{path}.{name}", value) for name, value in own if type(value) not in _SCALARS and _is_users(value)]


def _own_attributes(one: Any, path: str) -> Iterator[tuple[str, Any]]:
    skipped: frozenset[str] = frozenset()
    if isinstance(one, nn.Module):
        skipped = _OF_TORCH
        measured = path.startswith(("metrics.validation.", "metrics.test."))  # these sets are not saved
        for name, buffer in one._buffers.items():
            sums = getattr(one, "_states", ()) if measured else one._buffers.keys() - one._non_persistent_buffers_set
            if name not in sums:
                yield name, buffer
    elif isinstance(one, torch.optim.Optimizer):
        skipped = _OF_OPTIMIZERS
    elif path == "trainer":
        skipped = KNOWN
    elif hasattr(one, "state_dict"):
        return
    of_torchmetrics = hasattr(one, "_update_count")  # its states are in the state_dict; the rest is its own business
    for name, value in _fields(one):
        is_known = name in skipped or (of_torchmetrics and (name.startswith("_") or name in one._defaults))
        if not is_known and (type(value) in _SCALARS or not isinstance(value, nn.Module | torch.optim.Optimizer)):
            yield name, value


def _is_users(value: Any) -> bool:
    """Whether it is an object of a class of the user's that has attributes and no state_dict."""
    kind = type(value)
    origin = kind.__module__.partition(".")[0]
    if origin in _FOREIGN or (origin in sys.stdlib_module_names and origin != "__main__") or _is_code(value):
        return False
    has_fields = hasattr(value, "__dict__") or any(True for _ in _fields(value))
    return has_fields and not hasattr(value, "state_dict")


def _fields(one: Any) -> list[tuple[str, Any]]:
    """What is in its dictionary and in its slots."""
    fields = dict(getattr(one, "__dict__", {}))
    for name in _slots(type(one)):  # type: ignore[arg-type]  # a class can be hashed
        with contextlib.suppress(AttributeError):  # nothing is in it yet
            fields[name] = getattr(one, name)
    return list(fields.items())


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    """The names that a class and those that it is made of have slots for; of classes of one's own."""
    found: list[str] = []
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        if base.__module__.partition(".")[0] not in _FOREIGN:
            found += (names,) if isinstance(names, str) else names
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


def _is_code(value: Any) -> bool:
    return callable(value) or isinstance(value, ModuleType)


def _sign(value: Any) -> Any:
    """What differs where the value has changed; it keeps no copy of a tensor."""
    if type(value) in _SCALARS:
        return type(value).__name__, repr(value)
    if isinstance(value, nn.Parameter):
        return "parameter"
    if isinstance(value, Tensor):
        whole = value.detach()
        if whole.layout is not torch.strided or whole.numel() * whole.element_size() > _SUMMED:
            return _Identity(value), value._version
        data = whole.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return str(whole.dtype), tuple(whole.shape), hashlib.blake2b(data.tobytes()).digest()
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.dtype.str, value.shape, hashlib.blake2b(np.ascontiguousarray(value).tobytes()).digest()
    if isinstance(value, GENERATORS):
        return repr(_sign(encoded(value, "")))
    if isinstance(value, dict):
        return type(value).__name__, [(_sign(key), _sign(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return type(value).__name__, [_sign(item) for item in value]
    if isinstance(value, int | float | complex | str | bytes | bytearray | np.generic):
        return type(value).__name__, repr(value)
    return _Identity(value)


class _Identity:
    """Equal where it stands for the same object, which it keeps: an id alone may be given to another."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def _put_back(there: Any, value: Any) -> Any:
    """The object that is there with what was held, or what was held where another cannot hold it."""
    if isinstance(there, GENERATORS):
        set_generator(there, value)
        return there
    if isinstance(there, dict) and isinstance(value, dict):
        items = {key: _put_back(there.get(key), item) for key, item in value.items()}
        there.clear()
        there.update(items)
        return there
    if isinstance(there, list) and isinstance(value, list):
        there[:] = [_put_back(there[n] if n < len(there) else None, item) for n, item in enumerate(value)]
        return there
    if isinstance(there, deque) and isinstance(value, deque) and there.maxlen == value.maxlen:
        there.clear()
        there.extend(value)
        return there
    return value


def _fits(there: Any, value: Any) -> bool:
    both = isinstance(there, Tensor) and isinstance(value, Tensor)
    return both and (there.shape, there.dtype, there.device) == (value.shape, value.dtype, value.device)
