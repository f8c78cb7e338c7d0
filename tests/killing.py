"""Trainings in forked processes that kill themselves at a named moment, and what is compared afterwards.

A fork after `import assay` costs nothing, so that a training, its death and its resume take a third of a second. The
moments are found from outside: the functions that the loop calls are wrapped in the child, and nothing in assay knows.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import orjson
import torch
from torch.optim.swa_utils import AveragedModel

import assay
from assay.experiment import resuming, training
from assay.schedulers.sequence import Sequence as Schedulers
from assay.store.journal import Journal
from assay.store.run_folder import RunFolder
from assay.trainer.base import BaseTrainer
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.writer import Writer

__all__ = [
    "PHASES",
    "RESUMING",
    "Clock",
    "Kill",
    "assert_exact",
    "count_moments",
    "endings",
    "forks",
    "launched",
    "outcome",
    "train",
    "trained",
]

# Seconds after which a child that hangs is ended by its alarm clock.
_PATIENCE = 60


@dataclass(frozen=True)
class Kill:
    """SIGKILL at the `number`-th time (from 0) that a phase of `PHASES` is reached."""

    phase: str
    number: int

    def arm(self, trainer: Any = None) -> None:
        """In this process, whose trainer is of this class (None: the default one)."""
        left = itertools.count(self.number, -1)
        _wrap({**PHASES, **RESUMING}[self.phase], lambda: _die() if next(left) <= 0 else None, trainer)


class _Trainer:
    """Stands for the class of the trainer that is used: its own methods are wrapped, not those of its base."""


# What is wrapped, and whether the moment is before or after it; of `advance`, for which unit.
PHASES: dict[str, tuple[Any, str, str]] = {
    "an epoch begins": (Schedulers, "advance:epoch", "before"),
    "a batch has come": (BaseTrainer, "_train_batch", "before"),
    "the rates are set": (Schedulers, "advance:batch", "after"),
    "inside an accumulation window": (torch.autograd, "backward", "after"),
    "the gradients are there": (BaseTrainer, "step_optimizer", "before"),
    "the weights have changed": (BaseTrainer, "step_optimizer", "after"),
    "the average has changed": (AveragedModel, "update_parameters", "after"),
    "the step is counted": (Writer, "after_step", "before"),
    "a record is written": (Journal, "put", "after"),
    "inside a validation": (_Trainer, "evaluate_step", "after"),
    "inside a save": (torch, "save", "after"),
    "a checkpoint is there": (Checkpoints, "save", "after"),
}
# Of the resume itself; these are not counted among the phases of the loop.
RESUMING: dict[str, tuple[Any, str, str]] = {
    "before the journal is cut": (resuming, "cut", "before"),
    "the journal is cut": (resuming, "cut", "after"),
    "the run is described": (resuming, "describe", "after"),
    "what a kill left is removed": (Checkpoints, "clean", "after"),
    "the names are set": (Checkpoints, "relink", "after"),
    "the training goes on": (BaseTrainer, "train", "before"),
}


def in_child(function: Callable[[], object], log: Path) -> int:
    """Run it in a fork; 0, 1 where it raised (the traceback is in `log`), or minus the signal that ended it.

    The fork is that of a process that has imported everything and made nothing else: after some of torch's work a
    process cannot be forked any more, and a test does not know what ran before it.
    """
    child = forks().Process(target=_run, args=(function, log))
    child.start()
    child.join(_PATIENCE + 10)
    assert child.exitcode is not None
    return child.exitcode


@functools.cache
def forks() -> Any:
    """The server of forks, with everything imported; a process of it must be told where it is, and its environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killing_imports"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _run(function: Callable[[], object], log: Path) -> None:
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        multiprocessing.set_start_method("fork", force=True)  # of the loaders, as on Linux
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a server of forks ignores it
        signal.alarm(_PATIENCE)
        # What neither the weights nor the journal depend on, and what a git or a disk would make slow.
        training.snapshot_code = lambda *of, **how: None
        training.environment = lambda *of, **how: {}
        os.fsync = lambda descriptor: None
        torch.set_num_threads(1)
        function()
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def train(config: Mapping[str, Any], base: Path, resume: Path | None = None, **components: Any) -> None:
    """One training in this process, in a folder of its own under `base`; a resume goes on with that one."""
    warnings.simplefilter("ignore")  # of AUROC over a batch that lacks a class
    if resume is None:
        assay.train({**config, "folder": str(base)}, preflight=False, quiet=True, **components)
    else:
        assay.train(resume=resume, quiet=True, **components)


def trained(config: Mapping[str, Any], base: Path, **components: Any) -> None:
    """One training, in a fork, to its end."""
    endings(config, base, [], **components)


def launched(base: Path) -> Path | None:
    """The run under `base`, as soon as it can be resumed."""
    return next((file.parent for file in base.glob("*/*/config.json")), None)


def endings(
    config: Mapping[str, Any],
    base: Path,
    kills: Sequence[Kill | Callable[[], None]],
    overrides: Sequence[str] = (),
    **components: Any,
) -> list[int]:
    """Train; be killed at each of `kills` in turn, by the resume of the one before; then resume to the end.

    Returns how each of the trainings ended: -9 where the kill came, 0 where the training ended before it.
    """
    codes: list[int] = []
    for kill in (*kills, None):
        run = launched(base)
        if run is not None and RunFolder(run).read_status().get("state") == "completed":
            break

        changes = {"overrides": list(overrides)} if run else {}
        once = functools.partial(_train_until, kill, config, base, run, {**components, **changes})
        codes.append(in_child(once, base / "child.log"))
        if codes[-1] not in (0, -signal.SIGKILL):
            raise AssertionError(f"ended with {codes[-1]}:\n{(base / 'child.log').read_text()[-3000:]}")
    return codes


def _train_until(
    kill: Kill | Callable[[], None] | None,
    config: Mapping[str, Any],
    base: Path,
    run: Path | None,
    components: dict[str, Any],
) -> None:
    if isinstance(kill, Kill):
        kill.arm(components.get("trainer"))
    elif kill is not None:
        kill()
    train(config, base, run, **components)


def assert_exact(
    config: Mapping[str, Any],
    kills: Sequence[Kill | Callable[[], None]] = (Kill("a batch has come", 5), Kill("a batch has come", 6)),
    expected: dict[str, Any] | None = None,
    overrides: Sequence[str] = (),
    **components: Any,
) -> list[int]:
    """A run that is killed at these moments and resumed leaves what the uninterrupted one leaves."""
    with _memory() as base:
        if expected is None:
            endings(config, base / "whole", [], **components)
            expected = outcome(base / "whole")
        codes = endings(config, base / "killed", kills, overrides, **components)
        found = outcome(base / "killed")
    differing = {
        key: (expected.get(key), found.get(key)) for key in expected | found if expected.get(key) != found.get(key)
    }
    assert not differing, f"killed at {kills}: {_shortened(differing)}"
    return codes


def count_moments(config: Mapping[str, Any], **components: Any) -> tuple[Counter[str], dict[str, Any]]:
    """How often each phase is reached in an uninterrupted run, and what it leaves."""
    with _memory() as base:
        counted = functools.partial(_count, config, base, components)
        assert in_child(counted, base / "child.log") == 0, (base / "child.log").read_text()
        return Counter(orjson.loads((base / "counts").read_bytes())), outcome(base)


def _count(config: Mapping[str, Any], base: Path, components: dict[str, Any]) -> None:
    counts: Counter[str] = Counter()
    for phase in PHASES:
        _wrap(PHASES[phase], functools.partial(counts.update, [phase]), components.get("trainer"))
    train(config, base, **components)
    (base / "counts").write_bytes(orjson.dumps(counts))


@dataclass(frozen=True)
class Clock:
    """SIGKILL after so many seconds, wherever the process is."""

    seconds: float

    def __call__(self) -> None:
        signal.signal(signal.SIGALRM, _die)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)


def _die(*of: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def outcome(base: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on whether it was killed."""
    run = launched(base)
    assert run is not None, "nothing was trained"
    folder = RunFolder(run)
    status = folder.read_status()
    found: dict[str, Any] = {
        f"status.{key}": status.get(key) for key in ("state", "reason", "epoch", "step", "best", "values")
    }
    records = [orjson.loads(line) for line in folder.journal.read_bytes().splitlines()]
    for record in records:
        del record["time"]
    found["journal"] = records
    found["measurements"] = orjson.loads(folder.measurements.read_bytes())
    found["media"] = {path.name: _digest(path.read_bytes()) for path in sorted(folder.media.glob("*"))}
    found["names"] = {name: (folder.checkpoints / name).resolve().name for name in ("best", "last")}
    found["checkpoints"] = sorted(path.name for path in folder.checkpoints.iterdir())
    for name in ("best", "last"):
        checkpoint = Checkpoints(folder.checkpoints).load(name)
        for file in ("model", "ema", "training"):
            if checkpoint.has(file):
                found |= dict(_hashed(checkpoint.tensors(file), f"{name}.{file}"))
        found[f"{name}.generators"] = _digest(
            repr({k: v for k, v in checkpoint.state.items() if "generator" in k}).encode()
        )
    return found


def _hashed(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every leaf by its path; of a tensor type, shape and a hash of its bytes."""
    if isinstance(value, torch.Tensor):
        whole = value.to_dense() if value.layout is not torch.strided else value
        data = whole.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        yield key, f"{value.dtype} {tuple(value.shape)} {_digest(data)}"
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _hashed(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        yield key, len(value)
        for number, item in enumerate(value):
            yield from _hashed(item, f"{key}.{number}")
    else:
        yield key, repr(value)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _wrap(place: tuple[Any, str, str], reached: Callable[[], None], trainer: Any) -> None:
    owner, name, when = place
    name, _, unit = name.partition(":")
    if owner is _Trainer:
        from assay.trainer.default import DefaultTrainer

        owner = trainer if isinstance(trainer, type) else DefaultTrainer
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        counts = not unit or unit in args
        if counts and when == "before":
            reached()
        result = inner(*args, **kwargs)
        if counts and when == "after":
            reached()
        return result

    setattr(owner, name, wrapped)


@contextmanager
def _memory() -> Iterator[Path]:
    """A folder that costs no disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        base = Path(folder)
        (base / "whole").mkdir()
        (base / "killed").mkdir()
        yield base


def _shortened(differing: dict[str, Any]) -> str:
    lines = []
    for key, (expected, found) in sorted(differing.items()):
        if key == "journal":
            pairs = zip(expected or [], found or [], strict=False)
            first = next(((a, b) for a, b in pairs if a != b), (len(expected or []), len(found or [])))
            expected, found = first
        lines.append(f"{key}: {str(expected)[:300]} != {str(found)[:300]}")
    return "\n".join(lines[:40])
