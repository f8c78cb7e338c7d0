"""Proof on a configuration that a resume is exact: a training that is killed and resumed, against one that is not.

Each training is a process of its own, and the kill is a SIGKILL. Nothing is left but for `keep`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from assay.config.check import Checked
from assay.errors import AssayError, ConfigError, Problem
from assay.experiment.build import open_data
from assay.experiment.departures import Compared, compared
from assay.store.run_folder import RunFolder
from assay.trainer.checkpoint import Checkpoints
from assay.utils.atomic import write_json

__all__ = ["Plan", "ResumeCheck", "resume_check"]


@dataclass(frozen=True)
class Plan:
    """Updates in all, after which of them the kill comes, and how often is saved, in updates."""

    steps: int
    kill_after: int
    every: int

    @classmethod
    def of(cls, total: int, epoch: int, steps: int | None = None, kill_after: int | None = None) -> Plan:
        """Without wishes: two epochs, and from 12 to 40 updates; the kill comes a little after the middle, between two
        saves.

        Raises:
            ConfigError: the kill would not come before the end.
        """
        steps = min(total, steps or max(12, min(2 * epoch, 40)))
        every = max(1, steps // 4)
        kill_after = kill_after or min(steps, steps // 2 // every * every + max(1, every // 2))
        if not 0 < kill_after <= steps:
            found = f"a kill after step {kill_after} of {steps}"
            raise ConfigError.of(Problem("the kill comes after the end", key="--kill-after", found=found))
        return cls(steps, kill_after, every)


@dataclass(frozen=True)
class ResumeCheck:
    """What came of it.

    Args:
        resumed_from: the step of the checkpoint that the resume began with.
        compared: all that both runs have.
        warnings: what the runs themselves said.
        folder: where they are, if they were kept.
    """

    plan: Plan
    resumed_from: int
    compared: list[Compared]
    warnings: list[str]
    folder: Path | None

    @property
    def is_exact(self) -> bool:
        return not any(part.differing for part in self.compared)


def resume_check(
    checked: Checked,
    *,
    steps: int | None = None,
    kill_after: int | None = None,
    workers: int | None = None,
    allow: Sequence[str] = (),
    keep: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> ResumeCheck:
    """Train; train, be killed and resume; compare.

    Args:
        steps: updates of each training.
        kill_after: updates after which the second one is killed.
        workers: loader workers of the resumed part; None: as many as the configuration says.
        allow: packages outside the project that components may come from.
        keep: leave the two runs where they are.
        tell: is given what is about to be done.

    Raises:
        AssayError: a training failed of itself; the error says how.
    """
    epoch = len(open_data(checked).train)
    arguments = checked.complete["trainer"].get("args", {})
    total = min(epoch * (arguments.get("epochs") or 10), arguments.get("max_steps") or sys.maxsize)
    plan = Plan.of(total, epoch, steps, kill_after)
    folder = Path(tempfile.mkdtemp(prefix="assay-resume-check-"))
    try:
        config = folder / "config.json"
        write_json(config, checked.complete)
        settings = [f"trainer.args.max_steps={plan.steps}", f"checkpoints.every={plan.every}ba", "logging.every=1ba"]
        settings += ["loggers=[]", "logging.system=null"]
        tell(f"training {plan.steps} steps")
        _train([str(config)], [*settings, f"folder={folder / 'whole'}"], allow)
        tell(f"training {plan.kill_after} steps, and a kill")
        begun = [*settings, f"folder={folder / 'resumed'}"]
        _train([str(config), "--kill-after", str(plan.kill_after)], begun, allow, killed=True)
        whole, resumed = (_only_run(folder / name) for name in ("whole", "resumed"))
        newest, _ = Checkpoints(resumed.checkpoints).newest()
        at = newest.step if newest else 0
        tell(f"resuming from step {at}")
        _train(["--resume", str(resumed.path)], [f"data.loader.args.workers={workers}"] * (workers is not None), allow)
        warnings = dict.fromkeys(text for run in (whole, resumed) for text in _warnings(run))
        return ResumeCheck(plan, at, compared(whole, resumed), list(warnings), folder if keep else None)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _train(words: Sequence[str], settings: Sequence[str], allow: Sequence[str], *, killed: bool = False) -> None:
    command = [sys.executable, "-m", "assay.experiment.killed_training", *words]
    command += [f"--set={text}" for text in settings] + [f"--allow={package}" for package in allow]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode == (-SIGKILL if killed else 0):
        return
    said = done.stderr.strip() or f"it ended with exit code {done.returncode}"
    error = AssayError(f"a training of the check ended by itself: {said}")
    error.exit_code = done.returncode if done.returncode > 0 else 70
    raise error


def _only_run(folder: Path) -> RunFolder:
    (config,) = folder.glob("*/*/config.json")
    return RunFolder(config.parent)


def _warnings(run: RunFolder) -> list[str]:
    try:
        lines = run.output.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.startswith("warning: ")]
