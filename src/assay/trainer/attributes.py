"""What models, losses, metrics, optimizers and trainers keep beside their state_dict and change while they train.

A counter of a module, the deque of a trainer, a generator of one's own, a buffer with `persistent=False`: torch saves
none of them. Here each that has changed since the objects were built is found and goes into the checkpoint.
"""

from __future__ import annotations

import enum
import hashlib
import pickle
import queue
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.schedulers.plain import NotPlain
from assay.trainer.batches import tensors_of
from assay.trainer.plain import GENERATORS, MemberName, encoded, set_generator
from assay.trainer.walk import SCALARS, Walk, has_state, is_code, is_users, walk

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["Attributes"]

# A tensor of more bytes is not summed: it has changed where it is another one, or torch counts another version of it.
_SUMMED = 1 << 26
# An object of somebody else's is compared by what pickle makes of it, up to so many bytes.
_PICKLED = 1 << 20

Held = dict[str, dict[str, Any]]
Key = tuple[str, str]


class Attributes:
    """Follows the attributes of everything that a trainer trains with, from the moment that this is made.

    Only what has changed is held: an argument of a constructor keeps the value that a resume gives it.
    """

    def __init__(self, trainer: BaseTrainer) -> None:
        found = walk(trainer)
        self._signs = {(held.path, name): _sign(value) for held in found.holders for name, value in held.own}
        self._signs |= {key: _sign(value) for key, value in _of_data(trainer)}
        weights = _Storages(trainer, found)
        self._views = {(held.path, name) for held in found.holders for name, value in held.own if weights.have(value)}
        self._objects = {name: getattr(trainer, name) for name in ("model", "loss", "optimizer")}

    def take(self, trainer: BaseTrainer, found: Walk) -> tuple[Held, dict[str, str]]:
        """By path of the object and name: what has changed; and what has changed and cannot be held, with its type."""
        held: Held = {}
        lost = {
            f"trainer.{name}": f"another {type(getattr(trainer, name)).__qualname__}"
            for name, one in self._objects.items()
            if getattr(trainer, name) is not one
        }
        weights = _Storages(trainer, found)
        there: set[Key] = set()
        for path, _, own in found.holders:
            for name, value in own:
                there.add((path, name))
                if (path, name) in self._signs and self._signs[path, name] == _sign(value):
                    continue
                if weights.have(value):
                    # The view of a weight is restored with the weight, where the constructor makes it.
                    if (path, name) not in self._views:
                        lost[f"{path}.{name}"] = "a view of a weight"
                    continue
                try:
                    if isinstance(value, enum.Enum) and self._signs.get((path, name), ("",))[0] != type(value).__name__:
                        raise NotPlain(f"{path}.{name}")  # a resume would not know of which enumeration it is
                    held.setdefault(path, {})[name] = encoded(value, f"{path}.{name}")
                except NotPlain:
                    if not is_code(value):
                        lost[f"{path}.{name}"] = type(value).__qualname__
        paths = {holder.path for holder in found.holders}
        gone = [key for key in self._signs.keys() - there if key[0] in paths]
        lost |= {f"{path}.{name}": "it is deleted" for path, name in sorted(gone)}
        for key, value in _of_data(trainer):
            if self._signs.get(key) != _sign(value):
                lost[".".join(key)] = type(value).__qualname__
        return held, lost

    def restore(self, trainer: BaseTrainer, held: Mapping[str, Mapping[str, Any]]) -> None:
        """Set what `take` gave (decoded), in the objects that are there: others may hold them as well."""
        remaining = {path: dict(values) for path, values in held.items()}
        # An object may hang on an attribute that is set here first.
        while found := [(path, one) for path, one, _ in walk(trainer).holders if path in remaining]:
            for path, one in found:
                for name, value in remaining.pop(path, {}).items():
                    there = getattr(one, name, None)
                    buffer = one._buffers.get(name) if isinstance(one, nn.Module) else None
                    if buffer is not None and _fits(buffer, value):
                        buffer.copy_(value)
                    # Another tensor is replaced: the one that is there may be a view of a parameter.
                    elif (restored := _put_back(there, value)) is not there:
                        _set(one, name, restored)


def _of_data(trainer: BaseTrainer) -> Iterator[tuple[Key, Any]]:
    """What a sample may depend on beside its index: generators of the dataset, these and numbers of its transforms. It
    is not held, for a loader's workers have copies of it; it is told where it changes.
    """
    samples = trainer.parts.train_data.samples
    yield from (
        (("data.dataset", n), v)
        for n, v in getattr(samples.dataset, "__dict__", {}).items()
        if isinstance(v, GENERATORS)
    )
    for number, transform in enumerate(samples.pipeline.transforms):
        if not type(transform).__module__.startswith("assay."):
            for name, value in getattr(transform, "__dict__", {}).items():
                if isinstance(value, (*GENERATORS, int, float)):
                    yield (f"data.transforms.{number}", name), value


class _Storages:
    """The memory of the weights and buffers that are saved, looked for when it is first asked for."""

    def __init__(self, trainer: BaseTrainer, found: Walk) -> None:
        self._modules = [trainer.model, trainer.loss, *found.parts.values()]
        self._places: set[int] | None = None

    def have(self, value: Any) -> bool:
        """Whether there is a tensor in it that is a view of one of them, and not a buffer or parameter itself."""
        return any(self._has(leaf) for leaf in tensors_of(value))

    def _has(self, tensor: Tensor) -> bool:
        if self._places is None:
            modules = [one for one in self._modules if isinstance(one, nn.Module)]
            weights: list[Tensor] = [weight for one in modules for weight in one.parameters()]
            weights += [b for one in modules for m in one.modules() for n, b in m._buffers.items()
                        if b is not None and n not in m._non_persistent_buffers_set]  # fmt: skip
            self._places = {place for weight in weights if (place := _place(weight))}
        return not isinstance(tensor, nn.Parameter) and _place(tensor) in self._places


def _place(tensor: Tensor) -> int:
    """Where its memory begins; 0 where it has none of its own kind."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # sparse, or in rows
        return 0


def _sign(value: Any) -> Any:
    """What differs where the value has changed; it keeps no copy of a tensor."""
    kind = type(value)
    if kind in SCALARS:
        return kind.__name__, repr(value)
    if isinstance(value, nn.Parameter):
        return "parameter"
    if isinstance(value, Tensor):
        whole = value.detach()
        if whole.layout is not torch.strided or whole.numel() * whole.element_size() > _SUMMED:
            return _Identity(value), value._version
        data = whole.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return str(whole.dtype), tuple(whole.shape), value.requires_grad, hashlib.blake2b(data.tobytes()).digest()
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.dtype.str, value.shape, hashlib.blake2b(np.ascontiguousarray(value).tobytes()).digest()
    if isinstance(value, GENERATORS):
        return repr(_sign(encoded(value, "")))
    if isinstance(value, dict):
        return kind.__name__, [(_sign(key), _sign(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return kind.__name__, [_sign(item) for item in value]
    if isinstance(value, queue.Queue):
        return kind.__name__, [_sign(item) for item in value.queue]
    if isinstance(value, enum.Enum | int | float | complex | str | bytes | bytearray | np.generic):
        return kind.__name__, repr(value)
    if has_state(value) or is_users(value):  # what it keeps is saved, or followed by itself
        return kind.__qualname__
    return _Identity(value) if is_code(value) or isinstance(value, Iterator) else _pickled(value)


class _Sum:
    """A file that sums what is written to it, of which there may not be too much."""

    def __init__(self) -> None:
        self.sum, self.left = hashlib.blake2b(), _PICKLED

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        self.left -= size
        if self.left < 0:
            raise OverflowError
        self.sum.update(content)
        return size


def _pickled(value: Any) -> Any:
    """Of an object of somebody else's: what pickle makes of it, or which one it is where pickle makes nothing of it."""
    total = _Sum()
    try:
        pickle.Pickler(total, protocol=5).dump(value)
    except Exception:  # whatever a class of somebody else's raises
        return _Identity(value)
    return type(value).__qualname__, total.sum.digest()


class _Identity:
    """Equal where it stands for the same object, which it keeps: an id alone may be given to another."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def _set(one: Any, name: str, value: Any) -> None:
    try:
        setattr(one, name, value)
    except AttributeError:  # of a frozen dataclass, of which the training makes a new one for each change
        object.__setattr__(one, name, value)


def _put_back(there: Any, value: Any) -> Any:
    """The object that is there with what was held, or what was held where another cannot hold it."""
    if isinstance(there, GENERATORS):
        set_generator(there, value)
        return there
    if isinstance(value, MemberName):
        if not isinstance(there, enum.Enum):
            raise TypeError(f"{value} is a member of an enumeration, and {type(there).__name__} is none")
        return type(there)[value]
    if isinstance(there, Tensor) and there.requires_grad and there.is_leaf and _fits(there, value):
        with torch.no_grad():  # an optimizer holds it too
            there.copy_(value)
        return there
    if isinstance(there, dict) and isinstance(value, dict):
        entries = {key: _put_back(there.get(key), item) for key, item in value.items()}
        there.clear()
        there.update(entries)
        return there
    if isinstance(there, list) and isinstance(value, list):
        there[:] = _items_put_back(there, value)
        return there
    if isinstance(there, deque) and isinstance(value, deque) and there.maxlen == value.maxlen:
        items = _items_put_back(there, value)
        there.clear()
        there.extend(items)
        return there
    if type(there) is tuple and type(value) is tuple:
        items = _items_put_back(there, value)
        same = len(there) == len(items) and all(old is new for old, new in zip(there, items, strict=True))
        return there if same else tuple(items)
    return value


def _items_put_back(there: Any, value: Any) -> list[Any]:
    held = list(there)
    return [_put_back(held[n] if n < len(held) else None, item) for n, item in enumerate(value)]


def _fits(there: Any, value: Any) -> bool:
    both = isinstance(there, Tensor) and isinstance(value, Tensor)
    return both and (there.shape, there.dtype, there.device) == (value.shape, value.dtype, value.device)
