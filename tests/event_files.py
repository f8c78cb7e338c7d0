"""Event files of TensorBoard in tests: a logger on a run folder, and what TensorBoard's own reader sees of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.logger.base import RunInfo
from assay.logger.tensorboard.logger import TensorBoardLogger
from assay.store.journal import JOURNAL, read
from assay.store.samples import SYSTEM, Sample, read_samples

__all__ = [
    "CREATED",
    "Scalar",
    "event_files",
    "journalled",
    "measure_machine",
    "open_logger",
    "read_events",
    "sampled_scalars",
    "scalars",
    "shown",
]

Scalar = tuple[str, int, float, str]
CREATED = 1000.0


def open_logger(run: Any, delivered: int = -1, sampled: int = -1, system: bool = True) -> TensorBoardLogger:
    logger = TensorBoardLogger(system)
    config = json.loads((run.folder / "config.json").read_text())
    logger.start(RunInfo(run.folder, run.folder.name, "digits", "resnet", config, CREATED, delivered, sampled))
    return logger


def measure_machine(run: Any, count: int) -> list[Sample]:
    """More lines of system.jsonl; all samples that there are."""
    path = run.folder / SYSTEM
    known = len(read_samples(path))
    with path.open("a") as stream:
        for number in range(known, known + count):
            line = {"time": CREATED + 0.5 + number, "machine": {"cpu_percent": float(number), "cores": [1, number]}}
            stream.write(json.dumps(line) + "\n")
    return read_samples(path)


def sampled_scalars(folder: Path) -> list[Scalar]:
    return sorted(
        (tag, number, sample.time, str(np.float32(value)))
        for number, sample in enumerate(read_samples(folder / SYSTEM))
        for tag, value in sample.scalars()
    )


def read_events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0, "histograms": 0})
    return accumulator.Reload()


def shown(folder: Path) -> list[Scalar]:
    accumulator = read_events(folder)
    return sorted(
        (tag, event.step, event.wall_time, str(np.float32(event.value)))
        for tag in accumulator.Tags()["scalars"]
        for event in accumulator.Scalars(tag)
    )


def scalars(folder: Path) -> list[Scalar]:
    """What is shown, without the machine."""
    return [scalar for scalar in shown(folder) if not scalar[0].startswith("system/")]


def journalled(folder: Path, last: int | None = None) -> list[Scalar]:
    def scalars() -> Iterator[Scalar]:
        for record in read(folder / JOURNAL):
            if last is None or record.id <= last:
                for tag, value in record.scalars():
                    yield tag, record.step, record.time, str(np.float32(value))

    return sorted(scalars())


def event_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "tensorboard").iterdir() if "tfevents" in path.name]
