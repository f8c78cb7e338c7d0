from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.config.components import Allowed
from assay.store.journal import JOURNAL, Journal
from assay.store.lock import Lock

PROJECT = Path(__file__).parent / "project"


class Run:
    """A run folder as the trainer leaves it, and the trainer's side of it."""

    def __init__(self, folder: Path, loggers: list[Any]) -> None:
        self.folder = folder
        self.allowed = Allowed(PROJECT)
        self.loggers = loggers
        folder.mkdir()
        (folder / "courier").mkdir()
        (folder / "media").mkdir()
        self.write("config.json", {"project": "digits", "name": "resnet", "loggers": loggers})
        self.write("transforms.json", {"train": []})
        self.status("running")
        self.journal = Journal(folder / JOURNAL)
        self.lock: Lock | None = None

    def write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def status(self, state: str) -> None:
        self.write("status.json", {"state": state})

    def hold(self) -> None:
        self.lock = Lock(self.folder / "run.lock")

    def release(self) -> None:
        if self.lock:
            self.lock.release()

    def append(self, count: int, loss: float | None = None) -> None:
        for _ in range(count):
            number = self.journal.next_id
            value = 1 / (number + 1) if loss is None else loss
            self.journal.append(
                phase="batch", epoch=0, step=number, samples=number, values={"loss": value, "rate": 0.1}
            )

    def seen(self, key: str, file: str = "seen.jsonl") -> list[Any]:
        """What the project's Witness wrote down: every value of `key`, in order."""
        path = self.folder / file
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line[key] for line in lines if key in line]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come about"
            time.sleep(0.02)

    def cursor(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / "courier" / f"{name}.json").read_text()))


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*loggers: Any) -> Run:
        runs.append(Run(tmp_path / f"run-{len(runs)}", list(loggers)))
        return runs[-1]

    yield make
    for run in runs:
        run.release()
        run.journal.close()
