from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from assay.config.components import Allowed
from assay.logger.base import RunInfo
from assay.logger.courier import delivery as module
from assay.logger.courier.backlog import backlogs
from assay.logger.courier.cursor import components
from assay.logger.courier.delivery import Delivery
from assay.logger.courier.launch import Delivered, start, sync
from assay.store.journal import JOURNAL, Journal, Record, read
from assay.store.lock import Lock
from assay.store.samples import SYSTEM

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
        self.measured = 0

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

    def measure(self, count: int) -> None:
        """Samples of the machine, as the sampler writes them."""
        with (self.folder / SYSTEM).open("ab") as stream:
            for _ in range(count):
                self.measured += 1
                line = {"time": float(self.measured), "machine": {"cpu_percent": self.measured - 1.0}, "run": {}}
                stream.write(json.dumps(line).encode() + b"\n")

    def info(self, delivered: int = -1, sampled: int = -1) -> RunInfo:
        """What a logger is started with."""
        config = json.loads((self.folder / "config.json").read_text())
        return RunInfo(self.folder, self.folder.name, "digits", "resnet", config, 1700000000.5, delivered, sampled)

    def records(self) -> list[Record]:
        return list(read(self.folder / JOURNAL))

    def lines(self, file: str = "seen.jsonl") -> list[dict[str, Any]]:
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def seen(self, key: str, file: str = "seen.jsonl") -> list[Any]:
        """What the project's Witness wrote down: every value of `key`, in order."""
        return [line[key] for line in self.lines(file) if key in line]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come about"
            time.sleep(0.02)

    def left(self) -> dict[str, int]:
        """Records that are not delivered, by the name of the logger."""
        return {name: backlog.records for name, backlog in backlogs(self.folder).items()}

    def sync(self, logger: str | None = None, **options: Any) -> dict[str, Delivered]:
        """By the name of the logger."""
        done = sync([self.folder], logger, allowed=self.allowed, **options)
        return {name: delivered for (_, name), delivered in done.items()}

    def log(self) -> str:
        return (self.folder / "run.log").read_text()

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


@pytest.fixture
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "LONGEST", 0.05)
    monkeypatch.setattr(module, "LONGEST_AFTER", 0.05)


@pytest.fixture
def deliver(no_long_pauses: None) -> Callable[..., Any]:
    def make(run: Any, status: str | None = "completed") -> Delivery:
        """Deliver to the first logger of a run that has ended."""
        (component, *_) = components({"loggers": run.loggers})
        delivery = Delivery(run.folder, component, run.allowed, lambda: status)
        delivery.run(Event())
        return delivery

    return make


class Live:
    """A delivery in a thread, of a run that goes on."""

    def __init__(self, run: Any) -> None:
        (component,) = components({"loggers": run.loggers})
        self.status: str | None = None
        self.delivery = Delivery(run.folder, component, run.allowed, lambda: self.status)
        self.stop = Event()
        self.thread = Thread(target=self.delivery.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def end(self, status: str) -> None:
        self.status = status
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def begin(no_long_pauses: None) -> Callable[..., Live]:
    return Live


@pytest.fixture
def start_courier() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a real courier; none outlives its test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(run: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(run.folder, run.allowed, **options))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
