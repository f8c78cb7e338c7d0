"""Every object that a trainer trains with and that may keep something: found through attributes, plain containers, and
objects of the user's own.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from assay.trainer.plain import GENERATORS

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["SCALARS", "Holder", "Walk", "has_state", "is_code", "is_users", "parts_with_state", "walk"]

# Of a trainer: what is saved by name, what is built anew, and what is the loop's.
_KNOWN = frozenset({"parts", "model", "loss", "optimizer", "schedulers", "scaler", "average", "monitor", "progress"})
_KNOWN |= {"metrics", "attachments", "signals", "device", "last_batch", "followed", "not_held", "strategy", "is_whole"}
# What torch itself keeps in a module and in an optimizer; whether a module trains is its user's to say.
_OF_TORCH = frozenset(vars(nn.Module())) - {"training"} | {"_compiled_call_impl"}
_OF_OPTIMIZERS = frozenset(vars(torch.optim.SGD([torch.zeros(1)], lr=0.1)))
_OF_OPTIMIZERS |= {"_opt_called", "_params", "_numel_cache"}
_FOREIGN = {"torch", "torchvision", "torchmetrics", "numpy", "assay", "builtins"}
# Most attributes are one of these: known by their type alone, they cost a save next to nothing.
SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None)})


class Holder(NamedTuple):
    """An object with attributes: its path, itself, and what of it is in no state_dict, by name."""

    path: str
    one: Any
    own: list[tuple[str, Any]]


@dataclass
class Walk:
    """
    Args:
        holders: every object whose attributes are followed.
        parts: what has a state_dict and is nowhere in the model, the loss or the metrics: what a trainer has set on
            itself, alone or in a list, tuple or dict, and what an object of the user's own holds.
    """

    holders: list[Holder] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)


def walk(trainer: BaseTrainer) -> Walk:
    """Go through everything from the trainer, the model, the loss, the optimizer and the metrics on."""
    found, seen = Walk(), set[int]()
    roots: deque[tuple[str, Any]] = deque([("trainer", trainer), ("model", trainer.model), ("loss", trainer.loss)])
    if trainer.average is not None:
        roots.append(("average", trainer.average.module))
    roots.append(("optimizer", trainer.optimizer))
    for phase, metrics in trainer.metrics.items():
        roots += [(f"metrics.{phase}.{name}", metric) for name, metric in metrics.metrics.items()]

    def look(path: str, value: Any, holder: Any) -> None:
        kind = type(value)
        if kind in SCALARS or isinstance(value, Tensor | np.ndarray | type):
            return
        if has_state(value):
            # A module that lies in a list of another is neither trained nor saved, and is told.
            if holder is trainer or not (isinstance(holder, nn.Module) or id(value) in _saved(trainer)):
                found.parts.setdefault(path.removeprefix("trainer."), value)
                roots.append((path, value))
        elif kind in (list, tuple, deque) or isinstance(value, dict):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                look(f"{path}.{key}", item, holder)
        elif is_users(value):
            roots.append((path, value))

    while roots:
        path, one = roots.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        fields = list(_own_attributes(one, path))
        own = [(n, value) for n, value in fields if type(value) in SCALARS or not _is_part(value)]
        found.holders.append(Holder(path, one, own))
        if isinstance(one, nn.Module):
            roots += [(f"{path}.{name}", child) for name, child in one.named_children()]
        for name, value in fields:
            if type(value) not in SCALARS:
                look(f"{path}.{name}", value, one)
    return found


def parts_with_state(trainer: BaseTrainer) -> dict[str, Any]:
    """What `Walk` says of parts: name -> object."""
    return walk(trainer).parts


def has_state(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict") and not isinstance(value, type)


def is_users(value: Any) -> bool:
    """Whether it is an object of a class of the user's that has attributes and no state_dict; or one of those of others
    that are used like it: a namespace, and a loader of torch's, whose generator goes on.
    """
    if isinstance(value, SimpleNamespace | DataLoader | Sampler):
        return True
    kind = type(value)
    origin = kind.__module__.partition(".")[0]
    if origin in _FOREIGN or (origin in sys.stdlib_module_names and origin != "__main__"):
        return False
    if is_code(value) or isinstance(value, enum.Enum):
        return False
    has_fields = hasattr(value, "__dict__") or any(True for _ in _fields(value))
    return has_fields and not hasattr(value, "state_dict")


def is_code(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, type | ModuleType | functools.partial)


def _is_part(value: Any) -> bool:
    return isinstance(value, nn.Module | torch.optim.Optimizer)


def _saved(trainer: BaseTrainer) -> set[int]:
    """What is saved by its own name."""
    kept = [trainer, trainer.optimizer, trainer.schedulers, trainer.scaler, trainer.average]
    modules = [
        trainer.model,
        trainer.loss,
        *(metric for held in trainer.metrics.values() for metric in held.metrics.values()),
    ]
    modules += [trainer.average.module] if trainer.average is not None else []
    inner = [part for one in modules if isinstance(one, nn.Module) for part in one.modules()]
    return {id(one) for one in (*kept, *modules, *inner)}


def _own_attributes(one: Any, path: str) -> Iterator[tuple[str, Any]]:
    skipped: frozenset[str] = frozenset()
    kind = type(one)
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
        skipped = _KNOWN
    elif isinstance(one, DataLoader | Sampler):
        # The rest of them is built anew.
        yield from ((n, v) for n, v in _fields(one) if isinstance(v, (*GENERATORS, Sampler)) or is_users(v))
        return
    elif hasattr(one, "state_dict"):
        return
    # States of torchmetrics are in the state_dict; the rest of it, and what torch's own layers hide, is their business.
    of_torchmetrics = hasattr(one, "_update_count")
    of_others = of_torchmetrics or (isinstance(one, nn.Module) and kind.__module__.partition(".")[0] == "torch")
    for name, value in _fields(one):
        hidden = of_others and name.startswith("_")
        if not (name in skipped or hidden or (of_torchmetrics and name in (*one._defaults, "training"))):
            yield name, value


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
