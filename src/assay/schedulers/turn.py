"""One entry of the sequence: what the configuration says, and the scheduler once its turn has come."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from assay.config.binding import Bound
from assay.errors import ConfigError, Problem
from assay.schedulers.base import BaseScheduler, Unit
from assay.schedulers.plain import NotPlain, plain_state
from assay.schedulers.wrapped import TorchScheduler

__all__ = ["ABOUT_ARGUMENTS", "Direction", "Scheduled", "Turn"]

Direction = Literal["min", "max"]

# What schedulers raise when their arguments do not fit one another, or the optimizer.
ABOUT_ARGUMENTS = (ConfigError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


@dataclass(frozen=True)
class Scheduled:
    """An entry of the configuration: a scheduler, the unit it counts in, and a priority if it has its own."""

    bound: Bound
    unit: Unit = "epoch"
    priority: int | None = None


@dataclass
class Turn:
    """An entry in the line, with its scheduler from the moment it starts.

    Args:
        key: where the entry stands in the configuration.
        start: the boundary, counted in `unit`, at which the scheduler started.
    """

    bound: Bound
    unit: Unit
    priority: int
    key: str
    start: int = 0
    scheduler: BaseScheduler | TorchScheduler | None = None

    @classmethod
    def of(cls, entry: Scheduled, number: int) -> Turn:
        """The entry in its place.

        Raises:
            ConfigError: it cannot have one.
        """
        bound = entry.bound
        priority = entry.priority if entry.priority is not None else getattr(bound.obj, "priority", 1)
        turn = cls(bound, entry.unit, priority, bound.key or f"schedulers.{number}")
        if _is(bound, ReduceLROnPlateau) and entry.unit == "batch":
            message = f"{bound.name!r} goes by epochs: the value it waits for comes from a validation"
            raise turn.error(Problem(message, key="unit", found="batch", expected="epoch"))
        if isinstance(bound.obj, LRScheduler):
            message = f"{bound.name!r} is tied to an optimizer already"
            raise turn.error(Problem(message, hint="give the class; assay makes it on the optimizer of the run"))
        return turn

    @property
    def blocks(self) -> bool:
        """Whether those behind have to wait."""
        scheduler = self.scheduler
        return scheduler is None or (scheduler.end is not None and not scheduler.finished)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as far as a checkpoint can hold them (from Python they may be anything)."""
        held: dict[str, Any] = {}
        for name, value in self.bound.args.items():
            try:
                held |= plain_state({name: value})
            except NotPlain:
                continue
        return held

    def make(
        self, optimizer: Optimizer, ratios: Sequence[float], left: int, direction: Direction
    ) -> BaseScheduler | TorchScheduler:
        """The scheduler, started on the optimizer; `left` are the units from here to the end of the run.

        Raises:
            ConfigError: it cannot be made with its arguments on this optimizer.
        """
        bound, runtime = self.bound, self._runtime(left, direction)
        try:
            made = TorchScheduler(_builder(bound, runtime)) if _is(bound, LRScheduler) else bound.build(**runtime)
            scheduler: BaseScheduler | TorchScheduler = made
            scheduler.start(optimizer, ratios)
        except ABOUT_ARGUMENTS as error:
            raise self.error(error) from error
        return scheduler

    def error(self, cause: Exception | Problem) -> ConfigError:
        """What went wrong as an error of the configuration, with the place of this entry."""
        if isinstance(cause, ConfigError):
            problems = cause.problems
        elif isinstance(cause, Problem):
            problems = [cause]
        else:
            frame = traceback.extract_tb(cause.__traceback__)[-1]
            found = f"{type(cause).__name__}: {cause} at {frame.filename}:{frame.lineno}"
            problems = [Problem(f"{self.bound.name!r} fails", found=found)]
        return ConfigError([self._placed(problem) for problem in problems])

    def _placed(self, problem: Problem) -> Problem:
        key = problem.key
        if key != self.key and not key.startswith(f"{self.key}."):
            key = f"{self.key}.{key}" if key else self.key
        return replace(problem, key=key, place=problem.place or self.bound.place)

    def _runtime(self, left: int, direction: Direction) -> dict[str, Any]:
        supplied: dict[str, Any] = {"T_max": left}
        if not (_is(self.bound, OneCycleLR) and {"epochs", "steps_per_epoch"} & self.bound.args.keys()):
            supplied["total_steps"] = left
        if _is(self.bound, ReduceLROnPlateau):
            # For no other: CyclicLR has a `mode` that means something else.
            supplied["mode"] = direction
        return supplied


def _is(bound: Bound, cls: type) -> bool:
    return inspect.isclass(bound.obj) and issubclass(bound.obj, cls)


def _builder(bound: Bound, runtime: Mapping[str, Any]) -> Callable[[Optimizer], LRScheduler]:
    def build(optimizer: Optimizer) -> LRScheduler:
        if bound.accepts("optimizer"):
            made: LRScheduler = bound.build(optimizer=optimizer, **runtime)
        else:
            made = bound.build(optimizer, **runtime)
        return made

    return build
