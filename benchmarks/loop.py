"""Time per training step: assay's loop against a careful hand-written one.

    python benchmarks/loop.py
    python benchmarks/loop.py --cases mlp --logging 1ba --threads 1 --rounds 40

Cases: an MLP 64-32-10 on the digits with batches of 32, and a ResNet of three blocks (16, 32 and 64 channels) on the
digits with batches of 64. Same data, model class, memory layout, loss, batch size, optimizer (`torch.optim.SGD` with
momentum) and deterministic algorithms on all sides, and loss and accuracy are measured on all sides.

- *assay* is `assay.train` as a user calls it: configuration, run folder, journal, and the courier beside it with
  TensorBoard and the machine's load every 5 s. `1ep` writes a record an epoch, `1ba` one a step.
- *careful* is what a careful person writes: data in memory, whole batches by index, loss and right answers summed as
  tensors, no number read inside the epoch, one line an epoch into a buffered file. It checks nothing and keeps nothing.
- *careful, SummaryWriter* is the same and logs loss and accuracy of every step with torch's SummaryWriter.

Protocol: one process. assay's loader lets the hand-written loops train one epoch each before every epoch of assay, so
that the turns are A B C A B C inside one run, and a ratio is that of neighbours. The digits are repeated so that an
epoch (a turn) lasts about a second. Timed is the epoch from its first batch on: for assay until its last batch is asked
for, divided by the steps done until then, which leaves out what only assay does at an epoch's end (checkpoint, status);
the SummaryWriter is flushed outside the clock. The first epochs are apart. Before the hand-written loops begin, the
courier is waited for, so that it disturbs assay's turns only; what it still has to do when the turn ends (a quarter of
a second of records at most) is in no turn, so its CPU time per step is printed too. Ratios are given by the clock and
by CPU time of the training process: on a machine with other work to do the second is the steadier one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command `assay` has it; it holds for all sides

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from turns import Seconds, header, now, row, table

import assay
from assay.data.datasets.digits import Digits
from assay.data.loaders.batch import BatchLoader
from assay.logger.courier.backlog import backlogs
from assay.model.architectures.mlp import MLP
from assay.model.architectures.resnet import ResNet

LEARNING_RATE, MOMENTUM = 0.01, 0.9
LOGGINGS = {"1ep": "an epoch", "1ba": "a step"}


@dataclass(frozen=True)
class Case:
    """What is trained; `steps` is the least number of steps in an epoch."""

    type: str
    args: dict[str, Any]
    make: Callable[[], nn.Module]
    batch: int
    steps: int


_RESNET: dict[str, Any] = {"blocks": [1, 1, 1], "width": 16}
CASES = {
    "mlp": Case("MLP", {"hidden": [32]}, lambda: MLP(10, (1, 8, 8), hidden=(32,)), batch=32, steps=2000),
    "resnet": Case("ResNet", _RESNET, lambda: ResNet(10, 1, **_RESNET), batch=64, steps=60),
}


class ManyDigits(Digits):
    """The training digits, repeated until there are `samples` or more."""

    def __init__(self, split: str = "train", samples: int = 0) -> None:
        super().__init__(split)
        copies = max(1, -(-samples // len(self.inputs)))
        self.inputs, self.targets = self.inputs.repeat(copies, 1, 1, 1), self.targets.repeat(copies)


class Careful:
    """The hand-written loop; with a `writer`, every step is logged to TensorBoard."""

    def __init__(self, case: Case, lines: Any, writer: SummaryWriter | None = None) -> None:
        data = ManyDigits(samples=case.batch * case.steps)
        self.inputs, self.targets, self.batch = data.inputs, data.targets, case.batch
        torch.manual_seed(0)
        self.model = case.make().train()
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.lines, self.writer = lines, writer
        self.step = 0

    def epoch(self, number: int) -> Seconds:
        """Train one epoch; time per step."""
        begin = now()
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        batches = torch.randperm(len(self.inputs), generator=torch.Generator().manual_seed(number)).split(self.batch)
        for rows in batches:
            inputs, target = self.inputs[rows], self.targets[rows]
            self.optimizer.zero_grad()
            output = self.model(inputs)
            loss = self.loss(output, target)
            loss.backward()
            self.optimizer.step()
            hits = (output.detach().argmax(1) == target).sum()
            total += loss.detach() * len(rows)
            right += hits
            self.step += 1
            if self.writer is not None:
                self._log(loss, hits / len(rows))
        samples = len(self.inputs)
        self.lines.write(f"{number} {total.item() / samples} {right.item() / samples}\n")
        seconds = now().since(begin, len(batches))
        if self.writer is not None:
            self.writer.flush()
        return seconds

    def _log(self, loss: Tensor, accuracy: Tensor) -> None:
        assert self.writer is not None
        self.writer.add_scalar("batch/loss", loss.item(), self.step)
        self.writer.add_scalar("batch/accuracy", accuracy.item(), self.step)


@dataclass
class Measured:
    """Time per step of every turn, by contender, and the courier's CPU seconds per step."""

    times: dict[str, list[Seconds]]
    courier: float


def measure(case: Case, logging: str, threads: int, rounds: int, first: int) -> Measured:
    """Train `first` epochs and then `rounds` more on all sides, by turns."""
    times: dict[str, list[Seconds]] = {"careful": [], "careful, SummaryWriter": [], "assay": []}
    courier_seconds: list[float] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, open(Path(name) / "lines", "w") as lines:
        folder = Path(name)
        writer = SummaryWriter(str(folder / "summary"))
        by_hand = {"careful": Careful(case, lines), "careful, SummaryWriter": Careful(case, lines, writer)}

        class TurnLoader(BatchLoader):
            """assay's loader; before an epoch the others have their turn."""

            def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
                if self.stream != "train":
                    yield from super().batches(epoch, start)
                    return
                _until_delivered(folder / "runs")
                for contender, loop in by_hand.items():
                    times[contender].append(loop.epoch(epoch))
                courier_seconds.append(_courier_seconds())
                begin = now()
                batches = super().batches(epoch, start)
                for _ in range(len(self) - 1):
                    yield next(batches)
                times["assay"].append(now().since(begin, len(self) - 1))
                yield from batches

        samples = case.batch * case.steps
        config = {
            "folder": str(folder / "runs"),
            "host": {"device": "cpu", "threads": threads, "memory_format": "contiguous"},
            "data": {
                "dataset": {"type": ManyDigits, "args": {"samples": samples}},
                "loader": {"type": TurnLoader, "args": {"batch_size": case.batch}},
                "split": {"validation": 0},
            },
            "model": {"type": case.type, "args": case.args},
            "loss": {"type": "CrossEntropyLoss"},
            "metrics": [{"type": "Accuracy"}],
            "optimizer": {"type": "SGD", "args": {"lr": LEARNING_RATE, "momentum": MOMENTUM}},
            "trainer": {"type": "DefaultTrainer", "args": {"epochs": first + rounds}},
            "logging": {"every": logging, "system": "5s"},
        }
        run = assay.train(config, quiet=True)
        assert run.status["state"] == "completed"
        writer.close()
    steps = (len(courier_seconds) - 1 - first) * -(-len(by_hand["careful"].inputs) // case.batch)
    courier = (courier_seconds[-1] - courier_seconds[first]) / steps if steps > 0 else float("nan")
    return Measured({contender: seconds[first:] for contender, seconds in times.items()}, courier)


def _until_delivered(runs: Path) -> None:
    """Wait until the courier has given all records that there are to its loggers."""
    deadline = time.monotonic() + 60
    for run in runs.glob("*/*"):
        while time.monotonic() < deadline and any(backlog.records for backlog in backlogs(run).values()):
            time.sleep(0.02)


def _courier_seconds() -> float:
    """CPU seconds that this process's courier has used so far."""
    for child in psutil.Process().children():
        if "assay.logger.courier.process" in child.cmdline():
            used = child.cpu_times()
            return float(used.user + used.system)
    return 0.0


def report(title: str, measured: Measured) -> None:
    """Print one table; times in µs are medians of the wall's clock and belong to the machine, not to assay."""
    times = measured.times
    micro = {
        contender: f"{np.median([turn.wall for turn in turns]) * 1e6:.0f} µs" for contender, turns in times.items()
    }
    print(f"\n{title}: {micro['assay']}; the courier's CPU, at nice 19, {measured.courier * 1e6:.0f} µs")
    others = [contender for contender in times if contender != "assay"]
    rows = [(*row(f"assay / {other}", times["assay"], times[other]), f"({micro[other]})") for other in others]
    print(table(rows), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="turns of every contender that count")
    parser.add_argument("--first", type=int, default=2, help="first epochs that do not count")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--logging", nargs="+", choices=LOGGINGS, default=list(LOGGINGS), help="of assay")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args()
    print(header(("numpy", "tensorboard"), options.threads))
    print("time per training step, ratio of assay to each; below 1 assay is faster", flush=True)
    for name in options.cases:
        for threads in options.threads:
            for logging in options.logging:
                measured = measure(CASES[name], logging, threads, options.rounds, options.first)
                report(f"{name}, {threads} thread{'s' * (threads > 1)}, a record {LOGGINGS[logging]}", measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
