"""What a run measures, and which of it chooses the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.config.components import nearest
from assay.errors import ConfigError, Problem

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["judge", "measurements", "require_measured"]


def measurements(trainer: BaseTrainer) -> dict[str, dict[str, str | None]]:
    """Of every name that is recorded: its unit, what it measures, which direction is better."""
    rate: dict[str, str | None] = {"unit": "1", "what": "learning rate of the last update", "better": None}
    groups = len(trainer.optimizer.param_groups)
    names = ["learning_rate"] if groups == 1 else [f"learning_rate/{number}" for number in range(groups)]
    found: dict[str, dict[str, str | None]] = {}
    for phase, metrics in trainer.metrics.items():
        found |= {f"{phase}/{name}": facts for name, facts in metrics.measurements().items()}
        if phase in ("train", "batch"):
            found |= {f"{phase}/{name}": rate for name in names}
    absent = {"validation"} if trainer.parts.validation_data is None else set()
    absent |= {"test"} if trainer.parts.test_data is None else set()
    return {name: facts for name, facts in found.items() if name.partition("/")[0] not in absent}


def require_measured(trainer: BaseTrainer) -> None:
    """A monitored name that nothing measures is found before the training, not after its first epoch.

    Raises:
        ConfigError: it is such a name.
    """
    known = measurements(trainer)
    name = trainer.monitor.name
    # A metric may give several numbers, `name/key`, that are not known before there are any.
    if not any(name == listed or name.startswith(listed + "/") for listed in known):
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else ""
        expected = ", ".join(sorted(known))
        problem = Problem("monitor names what nothing measures", None, "trainer.args.monitor", name, expected, hint)
        raise ConfigError.of(problem)


def judge(trainer: BaseTrainer, measured: Sequence[str]) -> bool:
    """Whether the monitored value, just measured beside what else `measured` names, is the best so far."""
    progress = trainer.progress
    progress.monitored = progress.last[trainer.monitor.name]
    improved = trainer.monitor.update(progress.monitored, progress.epoch, progress.step)
    if improved:
        progress.best_samples = progress.samples
        progress.best = {n: v for n, v in progress.last.items() if n.partition("/")[0] in measured}
    return improved
