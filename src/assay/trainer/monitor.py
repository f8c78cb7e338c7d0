"""Which validation was the best, and when there have been enough without a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge

from assay.errors import ConfigError, Problem

__all__ = ["EarlyStopping", "Monitor"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop at the validation that is the `patience`-th in a row without an improvement.

    Args:
        patience: validations (not epochs) without an improvement that are borne; 0 < patience.
        min_delta: by how much, in the unit of the monitored value, a value must beat the best to count.
    """

    patience: Annotated[int, Ge(1)]
    min_delta: Annotated[float, Ge(0)] = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1 or self.min_delta < 0:
            raise ConfigError.of(
                Problem(
                    "early stopping needs patience of at least 1 and min_delta of at least 0",
                    key="trainer.args.early_stopping",
                    found=f"patience {self.patience}, min_delta {self.min_delta}",
                )
            )


@dataclass
class Monitor:
    """Follows one value, such as `min validation/loss`.

    An improvement is a finite value strictly better than the best so far by more than `min_delta`: a flat value is
    none, and neither is NaN.
    """

    name: str
    direction: Literal["min", "max"]
    early_stopping: EarlyStopping | None = None
    best: float | None = None
    best_epoch: int = -1
    best_step: int = -1
    without_improvement: int = 0
    since: int = 0
    """The step from which on values are of the same measure."""

    @classmethod
    def parse(cls, text: str, early_stopping: EarlyStopping | None = None) -> Monitor:
        """From `min phase/name` or `max phase/name`."""
        direction, _, name = text.partition(" ")
        if direction not in ("min", "max") or "/" not in name:
            problem = Problem(
                f"monitor {text!r} is not of the form 'min phase/name' or 'max phase/name'",
                key="trainer.args.monitor",
                found=text,
                hint="'min validation/loss'",
            )
            raise ConfigError.of(problem)
        return cls(name.strip(), "min" if direction == "min" else "max", early_stopping)

    def update(self, value: float, epoch: int, step: int) -> bool:
        """Take the value of one validation; whether it is an improvement."""
        delta = self.early_stopping.min_delta if self.early_stopping else 0.0
        gain = math.inf if self.best is None else (self.best - value) * (1 if self.direction == "min" else -1)
        if math.isfinite(value) and gain > delta:
            self.best, self.best_epoch, self.best_step = value, epoch, step
            self.without_improvement = 0
            return True
        self.without_improvement += 1
        return False

    @property
    def exhausted(self) -> bool:
        return self.early_stopping is not None and self.without_improvement >= self.early_stopping.patience

    def begin_anew(self, step: int) -> None:
        """What was measured until now is of another measure, and no best for what comes."""
        self.best, self.best_epoch, self.best_step, self.without_improvement = None, -1, -1, 0
        self.since = step

    def state_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "direction": self.direction,
            "since": self.since,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "without_improvement": self.without_improvement,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the count where it stood; that of another monitor is of no use."""
        held = {key: state[key] for key in self.state_dict()}
        counts = [held[key] for key in ("since", "best_epoch", "best_step", "without_improvement")]
        if not all(type(count) is int for count in counts) or type(held["best"]) not in (float, int, type(None)):
            raise ValueError(f"the monitor's state is {state}")
        if (held["name"], held["direction"]) == (self.name, self.direction):
            for key, value in held.items():
                setattr(self, key, value)
