"""The schedulers of a run, one after the other: when each starts, steps and hands over."""

from __future__ import annotations

import inspect
from collections import abc
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from assay.config.binding import Bound
from assay.errors import CheckpointError, ConfigError, Problem
from assay.schedulers import groups
from assay.schedulers.base import BaseScheduler, Unit
from assay.schedulers.plain import NotPlain, plain_state
from assay.schedulers.wrapped import TorchScheduler

__all__ = ["Direction", "Scheduled", "Sequence"]

Direction = Literal["min", "max"]

# What schedulers raise when their arguments do not fit one another, or the optimizer.
_ABOUT_ARGUMENTS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


@dataclass(frozen=True)
class Scheduled:
    """An entry of the configuration: a scheduler, the unit it counts in, and its place in the order if it says one."""

    bound: Bound
    unit: Unit = "epoch"
    priority: int | None = None


@dataclass
class _Turn:
    """An entry in the line, and its scheduler from the moment it starts."""

    bound: Bound
    unit: Unit
    priority: int
    key: str
    scheduler: BaseScheduler | TorchScheduler | None = None
    start: int = 0  # the boundary, counted in its unit, at which it started

    @property
    def blocks(self) -> bool:
        scheduler = self.scheduler
        return scheduler is None or (scheduler.end is not None and not scheduler.finished)


@final
@dataclass
class Sequence:
    """Steers the learning rates of an optimizer.

    The schedulers stand in the order of their priority. One that has an end holds back all behind it until it is
    finished; the next one starts at that very boundary, from the rate it finds. Those without an end run side by side
    with the ones behind them, chained as in torch.

    Call `advance("epoch", monitored=...)` before the first batch of every epoch and `advance("batch")` before every
    update, the first ones included, on a fresh run; a resumed run loads the state and goes on with the next boundary.

    Args:
        entries: in the order of the configuration.
        optimizer: with the rates of the configuration.
        epochs_total: epochs of the run, from its beginning.
        steps_total: updates of the run, from its beginning.
        direction: which values of the monitored quantity are better.

    Raises:
        ConfigError: a scheduler cannot be used with its arguments on this optimizer.
    """

    entries: abc.Sequence[Scheduled]
    optimizer: Optimizer
    epochs_total: int = field(kw_only=True)
    steps_total: int = field(kw_only=True)
    direction: Direction = field(default="min", kw_only=True)

    def __post_init__(self) -> None:
        turns = [_turn(entry, number) for number, entry in enumerate(self.entries)]
        self._turns = sorted(turns, key=lambda turn: turn.priority)
        self._boundaries: dict[Unit, int] = {"epoch": 0, "batch": 0}
        self._ratios = groups.ratios(self.optimizer)
        self._rehearse()

    @property
    def holder(self) -> tuple[str, ...]:
        """The names of the schedulers that steer now; after the end of all, of the last one."""
        started = [turn for turn in self._turns if turn.scheduler is not None]
        active = [turn for turn in started if turn.scheduler and not turn.scheduler.finished]
        return tuple(turn.bound.name for turn in active or started[-1:])

    def advance(self, unit: Unit, monitored: float | None = None) -> None:
        """Set the rates for what follows this boundary.

        Args:
            unit: which kind of boundary it is.
            monitored: the value of the last validation; None if there is none since the last epoch boundary.
        """
        boundary = self._boundaries[unit]
        self._boundaries[unit] += 1
        for turn in self._turns:
            if turn.scheduler is None:
                self._start(turn, unit)
            elif turn.unit == unit and boundary > turn.start and not turn.scheduler.finished:
                try:
                    turn.scheduler.step(monitored)
                except (ConfigError, *_ABOUT_ARGUMENTS) as error:
                    raise _located(turn, error) from error
            if turn.blocks:
                return

    def state_dict(self) -> dict[str, Any]:
        """Where every scheduler stands and what the groups hold, in types that `weights_only` loading reads."""
        return {
            "boundaries": dict(self._boundaries),
            "ratios": list(self._ratios),
            "groups": groups.scheduled(self.optimizer),
            "schedulers": [
                {
                    "name": turn.bound.name,
                    "unit": turn.unit,
                    "args": _plain_arguments(turn.bound),
                    "start": turn.start,
                    "state": turn.scheduler.state_dict() if turn.scheduler else None,
                }
                for turn in self._turns
            ],
        }

    def load_state_dict(self, state: abc.Mapping[str, Any]) -> None:
        """Go on from a state: the schedulers that had started, and the rates and momenta of the groups, are as saved.

        A changed argument of a scheduler holds from the next boundary on.

        Raises:
            CheckpointError: the state is of other schedulers or of other parameter groups.
        """
        self._compare(state)
        self._boundaries = dict(state["boundaries"])
        self._ratios = list(state["ratios"])
        for turn, saved in zip(self._turns, state["schedulers"], strict=True):
            turn.scheduler, turn.start = None, saved["start"]
            if saved["state"] is None:
                continue
            # Made anew first: constructors write to the groups, and have the last word on nothing.
            with groups.untouched(self.optimizer):
                turn.scheduler = self._made(turn)
            if isinstance(turn.scheduler, TorchScheduler):
                now, then = _plain_arguments(turn.bound), saved["args"]
                changed = [
                    name
                    for name in {**then, **now}
                    if (name in now, now.get(name)) != (name in then, then.get(name))
                ]
                turn.scheduler.load_state_dict(saved["state"], changed)
            else:
                turn.scheduler.load_state_dict(saved["state"])
        groups.restore(self.optimizer, state["groups"])

    def _start(self, turn: _Turn, unit: Unit) -> None:
        if turn.unit == "epoch":
            turn.start = max(self._boundaries["epoch"] - 1, 0)
        else:
            # The boundary of an epoch and that of its first update are one moment: no step between the two.
            turn.start = self._boundaries["batch"] - (unit == "batch")
        turn.scheduler = self._made(turn)

    def _made(self, turn: _Turn) -> BaseScheduler | TorchScheduler:
        """The scheduler, started on the optimizer.

        Raises:
            ConfigError: it cannot be made.
        """
        bound, runtime = turn.bound, self._runtime(turn)
        try:
            scheduler: BaseScheduler | TorchScheduler
            if _is(bound, LRScheduler):
                scheduler = TorchScheduler(lambda optimizer: _build_torch(bound, optimizer, runtime))
            else:
                scheduler = bound.build(**runtime)
            scheduler.start(self.optimizer, self._ratios)
        except (ConfigError, *_ABOUT_ARGUMENTS) as error:
            raise _located(turn, error) from error
        return scheduler

    def _runtime(self, turn: _Turn) -> dict[str, Any]:
        """What assay supplies: the units that are left to go, and which way is better."""
        total = self.epochs_total if turn.unit == "epoch" else self.steps_total
        left = max(total - turn.start, 1)
        supplied: dict[str, Any] = {"T_max": left}
        if not (_is(turn.bound, OneCycleLR) and {"epochs", "steps_per_epoch"} & turn.bound.args.keys()):
            supplied["total_steps"] = left
        if _is(turn.bound, ReduceLROnPlateau):
            # Not for others: CyclicLR has a `mode` that means something else.
            supplied["mode"] = self.direction
        return supplied

    def _rehearse(self) -> None:
        """Make each scheduler once, take its first steps and undo them: it may be epochs before its turn comes."""
        problems: list[Problem] = []
        for turn in self._turns:
            try:
                with groups.untouched(self.optimizer):
                    scheduler = self._made(turn)
                    for _ in range(2):
                        if not scheduler.finished:
                            scheduler.step(0.0)
                    scheduler.state_dict()
            except NotPlain as error:
                problems.append(
                    Problem(
                        f"{turn.bound.name!r} keeps something that a checkpoint cannot hold",
                        turn.bound.place,
                        turn.key,
                        found=error.found,
                        expected="numbers, strings, tensors, and lists, tuples, sets and dicts of them",
                        hint="keep it as one of these, or give the class a state_dict and a load_state_dict",
                    )
                )
            except (ConfigError, *_ABOUT_ARGUMENTS) as error:
                problems += _located(turn, error).problems
        if problems:
            raise ConfigError(problems)

    def _compare(self, state: abc.Mapping[str, Any]) -> None:
        found = [f"{saved['name']} by {saved['unit']}" for saved in state["schedulers"]]
        expected = [f"{turn.bound.name} by {turn.unit}" for turn in self._turns]
        if found != expected:
            raise CheckpointError(
                "the checkpoint was made with other schedulers",
                found=", ".join(found) or "none",
                expected=", ".join(expected) or "none",
                hint="resume with the schedulers of the run, or start a new run from its weights",
            )
        if len(state["groups"]) != len(self.optimizer.param_groups):
            raise CheckpointError(
                "the checkpoint was made with another number of parameter groups",
                found=str(len(state["groups"])),
                expected=str(len(self.optimizer.param_groups)),
            )


def _turn(entry: Scheduled, number: int) -> _Turn:
    bound, key = entry.bound, entry.bound.key or f"schedulers.{number}"
    if _is(bound, ReduceLROnPlateau) and entry.unit == "batch":
        raise ConfigError.of(
            Problem(
                f"{bound.name!r} goes by epochs: a monitored value comes from a validation",
                bound.place,
                f"{key}.unit",
                found="batch",
                expected="epoch",
            )
        )
    if isinstance(bound.obj, LRScheduler):
        raise ConfigError.of(
            Problem(
                f"{bound.name!r} is tied to an optimizer already",
                bound.place,
                key,
                hint="give the class and its arguments; assay makes it on the optimizer of the run",
            )
        )
    priority = entry.priority if entry.priority is not None else getattr(bound.obj, "priority", 1)
    return _Turn(bound, entry.unit, priority, key)


def _is(bound: Bound, cls: type) -> bool:
    return inspect.isclass(bound.obj) and issubclass(bound.obj, cls)


def _build_torch(bound: Bound, optimizer: Optimizer, runtime: abc.Mapping[str, Any]) -> LRScheduler:
    if bound.accepts("optimizer"):
        made = bound.build(optimizer=optimizer, **runtime)
    else:
        made = bound.build(optimizer, **runtime)
    assert isinstance(made, LRScheduler)
    return made


def _plain_arguments(bound: Bound) -> dict[str, Any]:
    """The arguments as a checkpoint can hold them; from Python they may be anything."""
    arguments: dict[str, Any] = {}
    for name, value in bound.args.items():
        try:
            arguments |= plain_state({name: value})
        except NotPlain:
            continue
    return arguments


def _located(turn: _Turn, error: Exception) -> ConfigError:
    """The error as one of the configuration, with the place of the scheduler."""
    if isinstance(error, ConfigError):
        problems = error.problems
    else:
        problems = [Problem(f"{turn.bound.name!r} fails", found=f"{type(error).__name__}: {error}")]
    return ConfigError([_placed(turn, problem) for problem in problems])


def _placed(turn: _Turn, problem: Problem) -> Problem:
    key = problem.key
    if not key.startswith(turn.key):
        key = f"{turn.key}.{key}" if key else turn.key
    return replace(problem, key=key, place=problem.place or turn.bound.place)
