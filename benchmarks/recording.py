"""What a record costs the training loop: CPU time of the loop's thread, with records of every step against none.

    python benchmarks/recording.py
    python benchmarks/recording.py --rounds 400 --only journal down

An MLP 64-32-10 on the digits in batches of 32, ten numbers a step: the loss, eight values that the step gives as
tensors, and the learning rate. An `assay.train` as a user calls it, for each state of the servers:

- *journal*: no logger.
- *TensorBoard*: the courier beside it writes the event file.
- *hung*: a logger whose server accepts and never answers.
- *down*: a logger whose server refuses.

Protocol: in one loop, turns of `--steps` steps with a record each and turns with none alternate, so that both have the
same model, memory and moment; what waits to be written at the end of a turn is written in it. By `time.thread_time_ns`
are taken

- *in place*: `Writer.after_step`, which is all that recording adds to a step: the mean of a turn with records, less
  what it costs without.
- *step*: whole turns; a difference is that to the mean of the two turns without records beside it. It holds what the
  records' code pushes out of the caches too, and the noise of a whole step.
- *step, nothing*: the same of turns without records, to see what a difference of nothing looks like.

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
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from turns import header

import assay
from assay.data.datasets.digits import Digits
from assay.store.journal import Journal
from assay.trainer.default import DefaultTrainer
from assay.trainer.recorder import Recorder
from assay.trainer.state import Progress, StepResult
from assay.trainer.writer import Writer

BATCH = 32
FIRST = 4  # turns of each kind that do not count


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


class Turns:
    """µs of CPU per step of each turn, and of every `after_step`, without records and with them."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.turns: dict[bool, list[float]] = {False: [], True: []}
        self.in_place: dict[bool, list[float]] = defaultdict(list)

    def trainer(self) -> type[TenNumbers]:
        """Records in every other turn."""
        measured = self

        class Alternating(TenNumbers):
            count, begin, recording = 0, 0, True

            def update(self, batch: Any) -> Any:
                if self.count % measured.steps == 0:
                    self.turn()
                self.count += 1
                return super().update(batch)

            def turn(self) -> None:
                if self.count:
                    self.recorder.flush()
                    measured.turns[self.recording].append((time.thread_time_ns() - self.begin) / measured.steps / 1e3)
                self.recording = not self.recording
                if self.recording:
                    self.metrics["batch"] = self.window
                else:
                    self.window = self.metrics.pop("batch")
                self.begin = time.thread_time_ns()

        return Alternating

    def measuring(self, after_step: Any) -> Any:
        def timed(writer: Writer, trainer: Any, readings: Any) -> None:
            trainer.recorder = writer.recorder
            begin = time.thread_time_ns()
            after_step(writer, trainer, readings)
            self.in_place[trainer.recording].append((time.thread_time_ns() - begin) / 1e3)

        return timed

    def differences(self) -> dict[str, Any]:
        without, records = (np.array(self.turns[kind][FIRST:]) for kind in (False, True))
        count = min(len(records), len(without) - 1)
        beside = (without[:count] + without[1 : count + 1]) / 2
        null = without[1:-1] - (without[:-2] + without[2:]) / 2
        means = [
            np.reshape(times[: len(times) // self.steps * self.steps], (-1, self.steps)).mean(1)[FIRST:]
            for times in (self.in_place[False], self.in_place[True])
        ]
        in_place = means[1] - np.median(means[0])
        return {"in place": in_place, "step": records[:count] - beside, "step, nothing": null}


def train(folder: Path, rounds: int, steps: int, settings: dict[str, Any]) -> Turns:
    """One training of `2 * rounds` turns."""
    measured = Turns(steps)
    config = {
        "folder": str(folder),
        "host": {"device": "cpu", "threads": 1, "memory_format": "contiguous"},
        "data": {
            "dataset": {"type": ManyDigits, "args": {"samples": 2 * (rounds + FIRST + 1) * steps * BATCH}},
            "loader": {"type": "BatchLoader", "args": {"batch_size": BATCH}},
            "split": {"validation": 0},
        },
        "model": {"type": "MLP", "args": {"hidden": [32]}},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "args": {"lr": 0.01}},
        "trainer": {"type": measured.trainer(), "args": {"epochs": 1}},
        **settings,
    }
    after_step = Writer.after_step
    Writer.after_step = measured.measuring(after_step)  # type: ignore[method-assign]
    try:
        run = assay.train(config, quiet=True, preflight=False, allow=["hung"])
    finally:
        Writer.after_step = after_step  # type: ignore[method-assign]
    assert run.status["state"] == "completed"
    return measured


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


def line(name: str, times: Any) -> str:
    low, middle, high = np.percentile(times, (10, 50, 90))
    return f"{name:26} n {len(times):5}   median {middle:6.2f} µs   p10-p90 {low:6.2f} to {high:6.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300, help="turns with records")
    parser.add_argument("--steps", type=int, default=32, help="steps of a turn")
    parser.add_argument("--only", nargs="+", help="states of the servers")
    options = parser.parse_args()
    silent, refusing = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = [server.getsockname()[1] for server in (silent, refusing)]
    refusing.close()
    hung, down = ({"type": "hung:HungLogger", "args": {"port": port}} for port in ports)
    states: dict[str, tuple[list[Any], str | None]] = {
        "journal": ([], None),
        "TensorBoard": (["TensorBoardLogger"], "1s"),
        "hung": ([hung], "1s"),
        "down": ([down], "1s"),
    }
    print(header(("numpy", "tensorboard"), [1]))
    print("\nCPU time of the loop's thread, per record of ten numbers")
    for name in options.only or states:
        loggers, system = states[name]
        settings = {"loggers": loggers, "logging": {"every": "1ba", "system": system}}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            measured = train(Path(folder), options.rounds, options.steps, settings)
        for kind, differences in measured.differences().items():
            print(line(f"{name}, {kind}", differences), flush=True)
    print("\nthe recorder alone, per record of ten numbers")
    floats = {f"value_{index}": 0.337 * index + 0.1 for index in range(10)}
    print(line("ten numbers of Python", alone(floats, options.rounds)))
    tensors = {name: torch.tensor(value) for name, value in floats.items()}
    print(line("ten tensors", alone(tensors, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
