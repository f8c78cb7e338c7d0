"""Seconds until a mistake in a configuration is told, beside the time that the packages it names take to be imported.

    python benchmarks/config_errors.py
    python benchmarks/config_errors.py --rounds 20

Every line is one mistake in a configuration that is right otherwise: `python train.py --config=…`, a process of its own
from start to exit, which must be 2. The reference is `python -c "import …"` of what the configuration names.

Protocol: by turns, mistake and reference, mistake and reference; the first turns are apart. Ratios are of seconds, turn
by turn; below 1 the mistake is told sooner than the packages are imported. The files of the packages are in the page
cache, as on a machine where somebody works.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from turns import Seconds, header, row, table

TRAIN = Path(__file__).parents[1] / "train.py"
GOOD: dict[str, Any] = {
    "data": {
        "dataset": "Digits",
        "transforms": {"train": [{"type": "Normalize", "args": {"mean": [0.3], "std": [0.4]}}]},
    },
    "model": {"type": "MLP", "args": {"hidden": [16]}},
    "loss": "CrossEntropyLoss",
    "metrics": ["Accuracy"],
    "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
    "schedulers": [{"type": "StepLR", "args": {"step_size": 3}}],
    "loggers": [],
}
WRONG_RATE = {"optimizer": {"type": "SGD", "args": {"learning_rat": 0.1}}}
PICTURES = {"model": {"type": "resnet18", "args": {"widht": 3}}, "data": {"dataset": "CIFAR10"}}


@dataclass(frozen=True)
class Case:
    """A mistake, the packages of the configuration that has it, and what differs from the right one."""

    name: str
    packages: str
    changes: dict[str, Any]
    text: str = ""

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name.replace(' ', '-')}.json"
        path.write_text(self.text or json.dumps({**copy.deepcopy(GOOD), **self.changes}, indent=2))
        return path


CASES = (
    Case("syntax", "torch", {}, json.dumps(GOOD, indent=2).replace('"SGD",', '"SGD"')),
    Case("unknown section", "torch", {"optimiser": {}}),
    Case("type of a plain value", "torch", {"seed": "one"}),
    Case("unknown model", "torch", {"model": "MPL"}),
    Case("five mistakes at once", "torch", {"sed": 1, "loss": "Cross", "schedulers": ["StepLR"], **WRONG_RATE}),
    Case("optimizer's argument", "torch", WRONG_RATE),
    Case("torchvision's argument", "torch, torchvision", PICTURES),
    Case("torchmetrics' argument", "torch, torchmetrics", {"metrics": [{"type": "CohenKappa", "args": {"k": 1}}]}),
    Case("all three", "torch, torchvision, torchmetrics", {**PICTURES, "metrics": ["CohenKappa"], **WRONG_RATE}),
)


def turn(command: Sequence[str | Path], folder: Path, expected: int) -> Seconds:
    """One process from its start to its exit.

    Raises:
        RuntimeError: it exits with another code than the expected one.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        raise RuntimeError(f"{command} exits with {done.returncode}:\n{done.stderr}")
    return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measured(case: Case, folder: Path, first: int, rounds: int) -> tuple[str, ...]:
    path = case.write(folder)
    told, imported = [], []
    for _ in range(first + rounds):
        told.append(turn([TRAIN, f"--config={path.name}"], folder, 2))
        imported.append(turn(["-c", f"import {case.packages}"], folder, 0))
    medians = [np.median([seconds.wall for seconds in times[first:]]) for times in (told, imported)]
    name = f"{case.name} / import {case.packages}"
    return (*row(name, told[first:], imported[first:]), f"{medians[0]:.2f} s / {medians[1]:.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of every mistake that count")
    parser.add_argument("--first", type=int, default=1, help="first turns that do not count")
    options = parser.parse_args()
    print(header(("torchvision", "torchmetrics"), ["default"]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(table([measured(case, Path(folder), options.first, options.rounds) for case in CASES]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
