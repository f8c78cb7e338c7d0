"""The schedulers of a run, one after the other: when each starts, steps and hands over."""

from __future__ import annotations

import math
from collections import abc
from typing import Any, final

from torch import Tensor
from torch.optim import Optimizer

from assay.errors import CheckpointError, ConfigError, NonFiniteError, Problem
from assay.schedulers import groups
from assay.schedulers.base import BaseScheduler, RateError, Unit
from assay.schedulers.plain import NotPlain
from assay.schedulers.turn import ABOUT_ARGUMENTS, Direction, Scheduled, Turn
from assay.schedulers.wrapped import TorchScheduler

__all__ = ["Direction", "Scheduled", "Sequence"]


@final
class Sequence:
    """Steers the learning rates of an optimizer.

    The schedulers stand in the order of their priority. One that has an end holds back all behind it until
    it is finished; the next starts at that very boundary, from the rate it finds there. Those without an end
    run side by side with the ones behind them, chained as in torch.

    Call `advance("epoch", monitored=...)` before the first batch of every epoch and `advance("batch")` before
    every update, the first ones included. A resumed run loads the state and goes on with its next boundary.

    Args:
        entries: in the order of the configuration.
        optimizer: with the rates of the configuration.
        epochs_total: epochs of the run, counted from its beginning.
        steps_total: updates of the run, counted from its beginning.
        direction: which values of the monitored quantity are the better ones.

    Raises:
        ConfigError: a scheduler cannot be used with its arguments on this optimizer.
    """

    def __init__(
        self,
        entries: abc.Sequence[Scheduled],
        optimizer: Optimizer,
        *,
        epochs_total: int,
        steps_total: int,
        direction: Direction = "min",
    ) -> None:
        self.optimizer = optimizer
        self._totals: dict[Unit, int] = {"epoch": epochs_total, "batch": steps_total}
        self._direction = direction
        self._boundaries: dict[Unit, int] = {"epoch": 0, "batch": 0}
        self._ratios = groups.ratios(optimizer)
        turns = [Turn.of(entry, number) for number, entry in enumerate(entries)]
        self._turns = sorted(turns, key=lambda turn: turn.priority)
        self._rehearse()

    @property
    def holder(self) -> tuple[str, ...]:
        """The names of the schedulers that steer now; when all are finished, of the last one."""
        started = [turn for turn in self._turns if turn.scheduler is not None]
        active = [turn for turn in started if turn.scheduler and not turn.scheduler.finished]
        return tuple(turn.bound.name for turn in active or started[-1:])

    def advance(self, unit: Unit, monitored: float | None = None) -> None:
        """Set the rates for what follows this boundary.

        Args:
            unit: which kind of boundary it is.
            monitored: the value of the last validation; None if there is none since the last epoch boundary.

        Raises:
            NonFiniteError: a scheduler gives a rate that is below 0 or not finite; no update was made with it.
        """
        boundary = self._boundaries[unit]
        step = self._boundaries["batch"]
        self._boundaries[unit] += 1
        for turn in self._turns:
            if turn.scheduler is None:
                self._start(turn, unit)
                self._refuse_rates(turn, step)
            elif turn.unit == unit and boundary > turn.start and not turn.scheduler.finished:
                try:
                    turn.scheduler.step(monitored)
                except RateError as error:
                    raise _unusable(turn, error.problems[0].found, step) from error
                except ABOUT_ARGUMENTS as error:
                    raise turn.error(error) from error
                self._refuse_rates(turn, step)
            if turn.blocks:
                return

    def state_dict(self) -> dict[str, Any]:
        """Where every scheduler stands and what the groups hold, in types that `weights_only` reads."""
        return {
            "boundaries": dict(self._boundaries),
            "ratios": list(self._ratios),
            "groups": groups.scheduled(self.optimizer),
            "schedulers": [
                {
                    "name": turn.bound.name,
                    "unit": turn.unit,
                    "args": turn.arguments,
                    "start": turn.start,
                    "state": turn.scheduler.state_dict() if turn.scheduler else None,
                }
                for turn in self._turns
            ],
        }

    def load_state_dict(self, state: abc.Mapping[str, Any]) -> None:
        """Go on from a state, with the schedulers and the rates and momenta of the groups as they were.

        An argument that has changed since takes effect from the next boundary on.

        Raises:
            CheckpointError: other schedulers or groups than the state has, or an argument that cannot change.
        """
        self._compare(state)
        self._boundaries = dict(state["boundaries"])
        self._ratios = list(state["ratios"])
        for turn, saved in zip(self._turns, state["schedulers"], strict=True):
            turn.start, turn.scheduler = saved["start"], None
            if saved["state"] is None:
                continue
            # A constructor writes to the groups; what it writes belongs to the start, long past.
            with groups.untouched(self.optimizer):
                turn.scheduler = self._make(turn)
            if isinstance(turn.scheduler, TorchScheduler):
                turn.scheduler.load_state_dict(saved["state"], _changed(saved["args"], turn.arguments))
            else:
                turn.scheduler.load_state_dict(saved["state"])
        groups.restore(self.optimizer, state["groups"])

    def begin_anew(self) -> None:
        """What is monitored is another measure from here on."""
        for turn in self._turns:
            if isinstance(turn.scheduler, TorchScheduler):
                turn.scheduler.begin_anew()

    def scale(self, factor: float) -> None:
        """Let all rates, and what schedulers work them out from, be so many times what they were."""
        for turn in self._turns:
            if turn.scheduler is not None:
                turn.scheduler.scale(factor)
        for group in self.optimizer.param_groups:
            for key in ("lr", "initial_lr"):
                if key in group:
                    groups.put(group, key, group[key] * factor)

    def _start(self, turn: Turn, unit: Unit) -> None:
        if turn.unit == "epoch":
            turn.start = max(self._boundaries["epoch"] - 1, 0)
        else:
            # The boundary of an epoch and that of its first update are one moment: no step lies between.
            turn.start = self._boundaries["batch"] - (unit == "batch")
        turn.scheduler = self._make(turn)

    def _refuse_rates(self, turn: Turn, step: int) -> None:
        for group in self.optimizer.param_groups:
            rate = group["lr"]
            if isinstance(rate, Tensor):
                if not rate.is_cpu:  # a read would wait for the device
                    continue
                rate = rate.item()
            if not 0.0 <= rate < math.inf:
                raise _unusable(turn, repr(rate), step)

    def _make(self, turn: Turn) -> BaseScheduler | TorchScheduler:
        left = max(self._totals[turn.unit] - turn.start, 1)
        return turn.make(self.optimizer, self._ratios, left, self._direction)

    def _rehearse(self) -> None:
        """Make every scheduler, take its first steps, and undo it all: its turn may be hours away."""
        problems: list[Problem] = []
        for turn in self._turns:
            try:
                with groups.untouched(self.optimizer):
                    scheduler = self._make(turn)
                    for _ in range(2):
                        if not scheduler.finished:
                            scheduler.step(0.0)
                    scheduler.state_dict()
            except NotPlain as error:
                problem = Problem(
                    f"{turn.bound.name!r} keeps something that a checkpoint cannot hold",
                    found=error.found,
                    expected="numbers, strings, tensors, and lists, tuples, sets and dicts of them",
                    hint="keep it as one of these, or give the class a state_dict and a load_state_dict",
                )
                problems += turn.error(problem).problems
            except ABOUT_ARGUMENTS as error:
                problems += turn.error(error).problems
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


def _unusable(turn: Turn, rate: str, step: int) -> NonFiniteError:
    return NonFiniteError(
        f"{turn.bound.name!r} gives the learning rate {rate} at step {step}; the update was not made",
        hint=f"look at its arguments ({turn.key})",
        where=str(turn.bound.place or turn.key),
        expected="a finite number, 0 or more",
    )


def _changed(then: abc.Mapping[str, Any], now: abc.Mapping[str, Any]) -> list[str]:
    names = sorted(then.keys() | now.keys())
    return [name for name in names if (name in then, then.get(name)) != (name in now, now.get(name))]
