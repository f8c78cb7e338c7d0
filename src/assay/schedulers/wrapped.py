"""torch's schedulers behind the same few methods as assay's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
)

from assay.errors import CheckpointError, ConfigError, Problem
from assay.schedulers.plain import plain_state

__all__ = ["TorchScheduler"]


@final
class TorchScheduler:
    """A scheduler of torch, or a subclass of one, that is made on the optimizer only when its turn comes.

    Args:
        build: makes the scheduler on an optimizer; it starts from the rates that it finds there.
    """

    def __init__(self, build: Callable[[Optimizer], LRScheduler]) -> None:
        self._build = build
        self._inner: LRScheduler
        self.position = 0

    def start(self, optimizer: Optimizer, ratios: Sequence[float]) -> None:
        """Make it on the optimizer. It works from every group's own rate, so the ratios stay."""
        for group in optimizer.param_groups:
            # Left by the one before; torch would start from this instead of from the rate handed over.
            group.pop("initial_lr", None)
        self._inner = self._build(optimizer)
        self.position = 0
        if isinstance(self._inner, LinearLR | ConstantLR | PolynomialLR) and self._inner.total_iters < 1:
            raise _argument(self._inner, "total_iters", "1 or more")
        if isinstance(self._inner, ConstantLR) and self._inner.factor == 0.0:
            # torch divides by it at the end.
            raise _argument(self._inner, "factor", "more than 0")

    @property
    def end(self) -> int | None:
        """The position at which the next scheduler takes over; most of torch's never end."""
        if isinstance(self._inner, LinearLR | ConstantLR | PolynomialLR):
            return self._inner.total_iters
        if isinstance(self._inner, OneCycleLR):
            return self._inner.total_steps
        return None

    @property
    def finished(self) -> bool:
        return self.end is not None and self.position >= self.end

    def step(self, monitored: float | None = None) -> None:
        """Go on by one. One that waits for a plateau goes on only with a new value."""
        if isinstance(self._inner, ReduceLROnPlateau):
            if monitored is not None:
                self._inner.step(monitored)
            return
        self.position += 1
        if isinstance(self._inner, OneCycleLR) and self.finished:
            # Its last rate stands one position earlier; from here on torch extrapolates, then raises.
            return
        # torch warns when it has seen no update before the first step. Here there was one, which it may have
        # missed: a resumed run steps before its first update, and GradScaler may skip one.
        self._inner.optimizer.__dict__["_opt_called"] = True
        self._inner.step()

    def state_dict(self) -> dict[str, Any]:
        """Plain types only.

        Raises:
            NotPlain: the scheduler keeps something else.
        """
        return {"position": self.position, "inner": plain_state(self._inner.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any], changed: Collection[str] = ()) -> None:
        """Go on from a state; the arguments named in `changed` keep the values of the constructor.

        Raises:
            CheckpointError: the effect of a changed argument cannot be told from the state.
        """
        inner = plain_state(state["inner"])  # a copy: torch's own loading takes entries out of what it is given
        for argument in changed:
            if argument not in inner or argument not in self._inner.__dict__:
                raise CheckpointError(
                    f"{argument!r} of '{type(self._inner).__name__}' cannot change on a resume",
                    hint="resume with the value of the run, or start a new run from its weights",
                )
            del inner[argument]
        self._inner.load_state_dict(inner)
        self.position = state["position"]

    def begin_anew(self) -> None:
        """What is monitored is another measure from here on: one that waits for a plateau has no best of it yet."""
        if isinstance(self._inner, ReduceLROnPlateau):
            self._inner.best, self._inner.num_bad_epochs, self._inner.cooldown_counter = self._inner.mode_worse, 0, 0

    def scale(self, factor: float) -> None:
        """The optimizer's own rate was changed on a resume."""
        if hasattr(self._inner, "base_lrs"):  # one that waits for a plateau works from the groups' rates
            self._inner.base_lrs = [rate * factor for rate in self._inner.base_lrs]


def _argument(scheduler: LRScheduler, name: str, expected: str) -> ConfigError:
    return ConfigError.of(
        Problem(
            f"{name!r} of '{type(scheduler).__name__}' cannot be used",
            key=f"args.{name}",
            found=repr(getattr(scheduler, name)),
            expected=expected,
        )
    )
