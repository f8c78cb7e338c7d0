"""What a metric promises: sums on the device that any cut of the data into batches leaves the same."""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import DataError
from assay.model.metrics.names import snake_case

__all__ = ["BaseMetric"]


class BaseMetric(nn.Module):
    """A metric of one's own. Give it either

    - `forward(output, target)`: one value per sample, shape (B, …), or the mean of the batch, shape ():
      assay then records the sum of values over the number of samples (of means, each counts for its batch's
      samples); or
    - `update(output, target)` and `compute()`, with its sums made by `add_state` in the constructor. Sums of several
      processes are added up; a metric that keeps anything else is shown the outputs of all of them.

    Nothing in `forward` or `update` may wait for the device (`item()`, `tolist()`, `if tensor:`).

    Args:
        name: what it is recorded as; default: the class's name in snake_case.

    Attributes:
        unit: of the value; `1` for a share.
        higher_is_better: None where neither direction is better.
        what: one line on what it measures.

    Raises:
        TypeError: the class has neither `forward` nor `update`.
        DataError: from `compute()` before any `update()`.
    """

    name: str
    unit: str = "1"
    higher_is_better: bool | None = True

    total: Tensor
    count: Tensor

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name or getattr(type(self), "name", "") or snake_case(type(self).__name__)
        self._states: list[str] = []
        self._seen = False
        if type(self).update is BaseMetric.update:
            if type(self).forward is nn.Module.forward:
                raise TypeError(f"{type(self).__name__} needs forward(output, target), or update() and compute()")
            self.add_state("total")
            self.add_state("count", dtype=torch.int64)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Whether anything was seen is kept on the host, so that compute() can say so without waiting for the
        # device.
        for method, wrap in _GUARDS.items():
            if method in cls.__dict__:
                setattr(cls, method, wrap(cls.__dict__[method]))

    def update(self, output: Any, target: Any) -> None:
        """Take in one batch; outputs of shape (B, K, …), targets as the dataset gives them."""
        self._add(*self.part(output, target, _batch_size(target, output)))

    def compute(self) -> Tensor | Mapping[str, Tensor]:
        """The value since the last reset: shape (), a vector, a matrix, or several of these by name."""
        return self.total / self.count

    def media(self) -> Mapping[str, Any]:
        """What it shows beside its numbers when an epoch, a validation or a test is recorded, by name: a text, a
        picture or a file, as a trainer's `attach` takes them.
        """
        return {}

    def reset(self) -> None:
        """Forget everything: every state is zero again."""
        for name in self._states:
            getattr(self, name).zero_()

    @property
    def what(self) -> str:
        return (inspect.getdoc(type(self)) or self.name).partition("\n")[0]

    def add_state(self, name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
        """Make a sum, zero at first: a buffer that moves with the metric and is saved with it."""
        self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self._states.append(name)

    def observe(self, output: Any, target: Any, count: int) -> None:
        """`update`, told the number of samples that a mean of the batch counts for."""
        if type(self).update is BaseMetric.update:
            self._add(*self.part(output, target, count))
            self._seen = True
        else:
            self.update(output, target)

    @property
    def is_additive(self) -> bool:
        """Whether several processes may each measure a part and `merged` their states: all it keeps are sums that
        `add_state` made. Any other metric is shown the outputs of all processes.
        """
        kept = (list, dict, set, deque)
        own = {name: value for name, value in vars(self).items() if name not in _PLAIN}
        sums = set(self._states) == set(dict(self.named_buffers()))
        return bool(self._states) and sums and not any(isinstance(value, kept) for value in own.values())

    def merged(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The state after all that several processes saw, from their `state_dict()`s, of an additive metric."""
        first = dict(states[0])
        extra = next(name for name in first if name.endswith("_extra_state"))
        sums = {name: torch.stack([state[name] for state in states]).sum(0) for name in first if name != extra}
        return sums | {extra: any(state[extra] for state in states)}

    @property
    def is_mean(self) -> bool:
        """Whether it is the sum of what `forward` gives over a number, and nothing of its own."""
        own = type(self)
        return all(getattr(own, name) is getattr(BaseMetric, name) for name in ("update", "observe", *_GUARDS))

    def part(self, output: Any, target: Any, count: int) -> tuple[Tensor, int]:
        """What a batch adds to the sum, shape (), and to the number; `count` is that of the samples."""
        values = self.forward(output, target)
        if values.ndim:
            return values.sum(dtype=self.total.dtype), values.numel()
        return values.to(self.total.dtype) * count, count

    def hold(self, total: Tensor | float, count: Tensor | float) -> None:
        """Take over sums that were kept elsewhere, to be saved."""
        self.total.fill_(total)
        self.count.fill_(count)
        self._seen = True

    def _add(self, total: Tensor, count: int) -> None:
        self.total.add_(total)
        self.count.add_(count)

    def get_extra_state(self) -> Any:
        return self._seen

    def set_extra_state(self, state: Any) -> None:
        self._seen = bool(state)


# What a module has of torch's, and this class of its own: none of it is what a metric keeps.
_PLAIN = {*vars(nn.Module()), "_states"}


def _batch_size(*nested: Any) -> int:
    """The first dimension of the first tensor in it."""
    for value in nested:
        if isinstance(value, Tensor):
            return len(value) if value.ndim else 1
        parts = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(parts, (list, tuple)) and parts:
            return _batch_size(*parts)
    raise TypeError("neither the output nor the target holds a tensor")


def _marking(update: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(update)
    def marked(self: BaseMetric, *args: Any, **kwargs: Any) -> None:
        update(self, *args, **kwargs)
        self._seen = True

    return marked


def _guarding(compute: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(compute)
    def guarded(self: BaseMetric) -> Any:
        if not self._seen:
            raise DataError(f"the metric {self.name!r} has seen no samples", hint="is the split empty?")
        return compute(self)

    return guarded


def _clearing(reset: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(reset)
    def cleared(self: BaseMetric) -> None:
        reset(self)
        self._seen = False

    return cleared


_GUARDS: Mapping[str, Callable[[Any], Any]] = {"update": _marking, "compute": _guarding, "reset": _clearing}
for _name, _wrap in _GUARDS.items():
    setattr(BaseMetric, _name, _wrap(BaseMetric.__dict__[_name]))
