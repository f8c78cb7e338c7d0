"""Trainings on disks of four megabytes that fill up. Run in a namespace of its own, where anybody may mount:

    unshare -Urm python small_disk.py FOLDER

prints what became of each as JSON.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, ClassVar

import torch

import assay
from assay.errors import AssayError
from assay.store.journal import read
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.default import DefaultTrainer

EPOCHS, STEPS = 6, 6  # of an epoch


class Filling(DefaultTrainer):
    """Something happens to the disk before some steps."""

    acts: ClassVar[dict[int, Callable[[], object]]] = {}

    def train_step(self, batch: Any) -> Any:
        if act := self.acts.get(self.progress.step):
            act()
        return super().train_step(batch)


TRAINER = {"type": Filling, "args": {"epochs": EPOCHS}}


def config(folder: Path, every: str = "1ep") -> dict[str, Any]:
    return {
        "project": "tests",
        "name": "full",
        "folder": str(folder),
        "data": {
            "dataset": "Digits",
            "loader": {"type": "BatchLoader", "args": {"batch_size": 256}},
            "transforms": {"train": [], "test": []},
        },
        "model": {"type": "MLP", "args": {"hidden": [256], "dropout": 0.1}},
        "loss": "CrossEntropyLoss",
        "metrics": ["Accuracy"],
        "optimizer": {"type": "SGD", "args": {"lr": 0.1, "momentum": 0.9}},
        "trainer": TRAINER,
        "testing": {"every": None},
        "logging": {"every": every, "system": None},
        "loggers": [],
    }


def fill(folder: Path, leave: int) -> None:
    """With zeros, until so many bytes are left."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))


def free(folder: Path) -> None:
    for path in folder.glob("ballast*"):
        path.unlink()


def take_names(folder: Path) -> None:
    """Every inode that is left."""
    with suppress(OSError):
        for number in range(100_000):
            (folder / f"ballast{number}").touch()


def attempt(folder: Path, acts: dict[int, Callable[[], object]], **arguments: Any) -> dict[str, Any]:
    """Train or resume, and tell what is left."""
    Filling.acts = acts
    told, printed = {"exit_code": 0, "message": "", "found": "", "hint": ""}, io.StringIO()
    with redirect_stdout(printed):
        try:
            assay.train(**{"config": config(folder), "preflight": False, **arguments})
        except AssayError as error:
            names = ("exit_code", "message", "found", "hint")
            told = {name: getattr(error, name) for name in names}
        except OSError as error:
            told = {"exit_code": -1, "message": errno.errorcode[error.errno or 0], "found": str(error), "hint": ""}
    return {**told, "printed": printed.getvalue(), **left(folder)}


def left(folder: Path) -> dict[str, Any]:
    runs = [path.parent for path in folder.glob("tests/*/config.json")]
    if not runs:
        return {"runs": 0}
    (run,) = runs
    checkpoints = Checkpoints(run / "checkpoints")
    newest, faults = checkpoints.newest()
    status = json.loads((run / "status.json").read_bytes())
    return {
        "runs": 1,
        "state": status["state"],
        "newest": newest.step if newest else -1,
        "faults": faults,
        "hidden": [path.name for path in checkpoints.folder.iterdir() if path.name.startswith(".")],
        "sum": float(sum(value.double().sum() for value in newest.tensors("model").values())) if newest else 0.0,
        "steps": [record.step for record in read(run / "journal.jsonl") if record.phase == "batch"],
    }


def then_resumed(folder: Path, first: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    free(folder)
    (run,) = folder.glob("tests/*")
    return {**first, "resumed": attempt(folder, {}, config=None, resume=run, trainer=TRAINER, **arguments)}


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def scenes(base: Path) -> dict[str, Callable[[Path], dict[str, Any]]]:
    def at(epoch: int, act: Callable[[], object]) -> dict[int, Callable[[], object]]:
        return {epoch * STEPS: act}

    room = 60_000  # for the journal and the status, and for no checkpoint
    per_batch = {"every": "1ba"}
    return {
        "roomy": lambda folder: attempt(folder, {}, config=config(folder, **per_batch)),
        "freed": lambda folder: attempt(folder, at(1, lambda: fill(folder, room)) | at(3, lambda: free(folder))),
        "stays full": lambda folder: then_resumed(folder, attempt(folder, at(1, lambda: fill(folder, room)))),
        "full at the end": lambda folder: then_resumed(
            folder, attempt(folder, at(EPOCHS - 1, lambda: fill(folder, room)))
        ),
        "no byte left": lambda folder: then_resumed(
            folder, attempt(folder, {8: lambda: fill(folder, 0)}, config=config(folder, **per_batch))
        ),
        "no inode left": lambda folder: attempt(
            folder, at(1, lambda: take_names(folder)) | at(3, lambda: free(folder))
        ),
        "files of 50 kB at most": lambda folder: attempt(
            folder, at(1, lambda: limit(50_000)) | at(3, lambda: limit(resource.RLIM_INFINITY))
        ),
    }


def read_only(folder: Path) -> dict[str, Any]:
    attempt(folder, {3 * STEPS: lambda: os.kill(os.getpid(), 2)})
    (run,) = folder.glob("tests/*")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    return {
        "checked": attempt(folder, {}, preflight=True),
        "unchecked": attempt(folder, {}),
        "resumed": attempt(folder, {}, config=None, resume=run, trainer=TRAINER),
    }


def main(base: Path) -> None:
    torch.set_num_threads(1)
    outcomes = {}
    every = {**scenes(base), "read-only": read_only}
    for number, (name, scene) in enumerate(every.items()):
        folder = base / str(number)
        folder.mkdir()
        options = "size=4m,nr_inodes=" + ("80" if name == "no inode left" else "10000")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        outcomes[name] = scene(folder)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
