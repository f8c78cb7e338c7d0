"""What a record costs the training loop: CPU time of the loop's thread, with records of every step against none.

    python benchmarks/recording.py
    python benchmarks/recording.py --rounds 400 --only none journal

An MLP 64-32-10 on the digits in batches of 32, ten numbers a step: the loss, eight values that the step gives as
tensors, and the learning rate. Contenders, each an `assay.train` as a user calls it, all in one process:

- *none*: a record an epoch, no logger. The step gives its eight values here too: what they cost is no recording.
- *none, again*: the same, to see what a difference of nothing looks like.
- *journal*: a record a step, no logger.
- *TensorBoard*: a record a step, and the courier beside it writes the event file.
- *hung*: a record a step, and a logger whose server accepts and never answers.
- *down*: a record a step, and a logger whose server refuses.

Protocol: each has a thread of its own, and they take turns of `--steps` steps from inside of their loaders, so that one
runs at a time. A turn's time is `time.thread_time_ns` of its thread, over the steps; a difference is that of two turns
of one round. What assay does at the end of an epoch is in no turn. The difference holds all that a record costs the
loop: sums of the window, reading the numbers, encoding, and the write.

Then the recorder alone, with ten numbers of Python and with ten tensors of the CPU, a thousand records a turn.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Thread
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from turns import header

import assay
from assay.data.datasets.digits import Digits
from assay.data.loaders.batch import BatchLoader
from assay.store.journal import Journal
from assay.trainer.default import DefaultTrainer
from assay.trainer.recorder import Recorder
from assay.trainer.state import Progress, StepResult

BATCH = 32
FIRST = 10  # rounds that do not count


class Turns:
    """Passes the turn round; who has it runs, all others wait."""

    def __init__(self, names: list[str]) -> None:
        self.names = list(names)
        self.waiting: set[str] = set()
        self.turn = 0
        self.changed = Condition()
        self.times: dict[str, list[float]] = defaultdict(list)

    def take(self, name: str, last: bool = False) -> None:
        """Pass on the turn, if it is ours, and wait until it comes again; not when it was our `last`."""
        with self.changed:
            if name in self.waiting:
                self.turn += 1
            self.waiting.add(name)
            self.changed.notify_all()
            everyone = len(self.names)
            while not last and not (len(self.waiting) == everyone and self.names[self.turn % everyone] == name):
                self.changed.wait()


class ManyDigits(Digits):
    """The training digits, repeated until there are `samples` or more."""

    def __init__(self, split: str = "train", samples: int = 0) -> None:
        super().__init__(split)
        copies = max(1, -(-samples // len(self.inputs)))
        self.inputs, self.targets = self.inputs.repeat(copies, 1, 1, 1), self.targets.repeat(copies)


class TenNumbers(DefaultTrainer):
    """Eight values beside the loss and the learning rate."""

    def train_step(self, batch: Any) -> StepResult:
        result = super().train_step(batch)
        means = result.output.detach().mean(0).unbind()
        result.values = {f"score_{index}": value for index, value in enumerate(means[:8])}
        return result


def compare(contenders: dict[str, dict[str, Any]], rounds: int, steps: int) -> dict[str, list[float]]:
    """µs of CPU per step of every turn, by contender."""
    turns = Turns(list(contenders))

    def loader(name: str) -> type[BatchLoader]:
        class TurnLoader(BatchLoader):
            def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
                if self.stream != "train":
                    yield from super().batches(epoch, start)
                    return
                begin = 0
                try:
                    for number, batch in enumerate(super().batches(epoch, start)):
                        if number % steps == 0:
                            if number:
                                turns.times[name].append((time.thread_time_ns() - begin) / steps / 1e3)
                            turns.take(name)
                            begin = time.thread_time_ns()
                        yield batch
                finally:  # the loop asks for no more than it needs
                    turns.take(name, last=True)

        return TurnLoader

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        threads = [
            Thread(target=_train, args=(Path(folder) / name, loader(name), rounds * steps * BATCH, settings))
            for name, settings in contenders.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {name: times[FIRST:] for name, times in turns.times.items()}


def _train(folder: Path, loader: type[BatchLoader], samples: int, settings: dict[str, Any]) -> None:
    config = {
        "folder": str(folder),
        "host": {"device": "cpu", "threads": 1, "memory_format": "contiguous"},
        "data": {
            "dataset": {"type": ManyDigits, "args": {"samples": samples}},
            "loader": {"type": loader, "args": {"batch_size": BATCH}},
            "split": {"validation": 0},
        },
        "model": {"type": "MLP", "args": {"hidden": [32]}},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "args": {"lr": 0.01}},
        "trainer": {"type": TenNumbers, "args": {"epochs": 1}},
        **settings,
    }
    run = assay.train(config, quiet=True, preflight=False, allow=["hung"])
    assert run.status["state"] == "completed"


def alone(values: dict[str, Any], rounds: int) -> list[float]:
    """µs of CPU per record, a thousand records a turn."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Journal(Path(folder) / "journal.jsonl"))
        progress = Progress(epoch=3, step=1234, samples=56789)
        for _ in range(rounds):
            begin = time.thread_time_ns()
            for _ in range(1000):
                recorder.record("batch", progress, values)
            times.append((time.thread_time_ns() - begin) / 1000 / 1e3)
    return times[len(times) // 10 :]


def _line(name: str, times: Any) -> str:
    low, middle, high = np.percentile(times, (10, 50, 90))
    return f"{name:32} n {len(times):4}   median {middle:6.2f} µs   p10-p90 {low:6.2f} to {high:6.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300, help="turns of every contender")
    parser.add_argument("--steps", type=int, default=20, help="steps of a turn")
    parser.add_argument("--only", nargs="+", help="contenders; the first is what the others are compared with")
    options = parser.parse_args()
    silent, refusing = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = silent.getsockname()[1], refusing.getsockname()[1]
    refusing.close()
    logger: Callable[[int], dict[str, Any]] = lambda port: {"type": "hung:HungLogger", "args": {"port": port}}  # noqa: E731
    steps, epochs = {"every": "1ba"}, {"every": "1ep"}
    contenders: dict[str, dict[str, Any]] = {
        "none": {"loggers": [], "logging": {**epochs, "system": None}},
        "none, again": {"loggers": [], "logging": {**epochs, "system": None}},
        "journal": {"loggers": [], "logging": {**steps, "system": None}},
        "TensorBoard": {"loggers": ["TensorBoardLogger"], "logging": {**steps, "system": "1s"}},
        "hung": {"loggers": [logger(ports[0])], "logging": {**steps, "system": "1s"}},
        "down": {"loggers": [logger(ports[1])], "logging": {**steps, "system": "1s"}},
    }
    names = options.only or list(contenders)
    print(header(("numpy", "tensorboard"), [1]))
    times = compare({name: contenders[name] for name in names}, options.rounds + FIRST + 1, options.steps)
    print("\nCPU time of the loop's thread per step")
    for name in names:
        print(_line(name, times[name]))
    print(f"\nper record of ten numbers: difference to {names[0]!r}, turn by turn")
    for name in names[1:]:
        print(_line(name, np.subtract(times[name], times[names[0]])))
    print("\nthe recorder alone, per record of ten numbers")
    floats = {f"value_{index}": 0.337 * index + 0.1 for index in range(10)}
    print(_line("ten numbers of Python", alone(floats, options.rounds)))
    tensors = {name: torch.tensor(value) for name, value in floats.items()}
    print(_line("ten tensors", alone(tensors, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
