"""The contract of a scheduler: the rate is a pure function of the position; the position is the state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, final

from torch.optim import Optimizer

from assay.errors import ConfigError, Problem
from assay.schedulers.groups import base_rate, put

__all__ = ["BaseScheduler", "RateError", "Unit"]

Unit = Literal["epoch", "batch"]


class RateError(ConfigError):
    """A scheduler gives a learning rate that is none: below 0, NaN or infinite."""


class BaseScheduler(ABC):
    """A scheduler of one's own: write `value`, and `end` if it has one.

    `value(position)` is the rate at `position` epochs (updates, where its `unit` is "batch") after its start,
    which is position 0. It is the optimizer's own rate: a parameter group that began with ten times that
    keeps ten times. `self.base` is the rate that the scheduler was handed at its start.

        class Halving(BaseScheduler):
            def __init__(self, every: int) -> None:
                self.every = every

            def value(self, position: int) -> float:
                return self.base * 0.5 ** (position // self.every)
    """

    priority: ClassVar[int] = 1
    """Its place in the sequence unless the configuration says another: lower goes first."""

    base: float = 0.0
    position: int = 0
    _optimizer: Optimizer
    _ratios: Sequence[float]

    @abstractmethod
    def value(self, position: int) -> float | None:
        """The learning rate at `position`; None leaves it as it is."""

    @property
    def end(self) -> int | None:
        """The position at which the next scheduler takes over; None: this one never ends."""
        return None

    @property
    @final
    def finished(self) -> bool:
        return self.end is not None and self.position >= self.end

    @final
    def start(self, optimizer: Optimizer, ratios: Sequence[float]) -> None:
        """Take the rate over; `ratios` are those of the groups to the optimizer's own rate."""
        self._optimizer, self._ratios = optimizer, ratios
        self.base = base_rate(optimizer, ratios)
        self.position = 0
        self._apply()

    @final
    def step(self, monitored: float | None = None) -> None:
        self.position += 1
        self._apply()

    @final
    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "base": self.base}

    @final
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position, self.base = state["position"], state["base"]

    @final
    def scale(self, factor: float) -> None:
        """The optimizer's own rate was changed on a resume."""
        self.base *= factor

    def _apply(self) -> None:
        value = self.value(self.position)
        if value is None:
            return
        if not 0.0 <= value < math.inf:
            raise RateError.of(
                Problem(
                    f"'{type(self).__name__}' gives no usable learning rate at position {self.position}",
                    found=repr(value),
                    expected="a finite number, 0 or more",
                )
            )
        for group, ratio in zip(self._optimizer.param_groups, self._ratios, strict=True):
            put(group, "lr", float(value) * ratio)
