"""Loggers of a project of one's own; they write what happens to them into the run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.logger.base import BaseLogger, NotTaken, RunInfo
from assay.store.journal import Record
from assay.store.samples import Sample


class Witness(BaseLogger):
    """Fails the first `failures` times that it is given records, and while a file `down` is there."""

    def __init__(self, failures: int = 0, to: str = "seen.jsonl") -> None:
        self.failures = failures
        self.to = to

    def start(self, run: RunInfo) -> None:
        self.run = run
        self._write(start=run.delivered, id=run.id, project=run.project, name=run.name)

    def log(self, records: Sequence[Record]) -> None:
        if self.failures > 0 or (self.run.folder / "down").exists():
            self.failures -= 1
            raise ConnectionError(f"no answer (attempt at {time.time()})")
        for record in records:
            self._write(record=record.id, loss=str(record.values["loss"]))

    def system(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            self._write(sample=sample.id, cpu=sample.machine["cpu_percent"])

    def file(self, path: Path, name: str) -> None:
        self._write(file=name, content=path.read_text())

    def beat(self) -> None:
        self._write(beat=True)

    def close(self, status: str) -> None:
        self._write(close=status)

    def _write(self, **line: Any) -> None:
        with (self.run.folder / self.to).open("a") as stream:
            stream.write(json.dumps(line) + "\n")


class Broken(BaseLogger):
    def __init__(self) -> None:
        raise ImportError("No module named 'tracker'")

    def start(self, run: RunInfo) -> None: ...

    def log(self, records: Sequence[Record]) -> None: ...


class Hanging(BaseLogger):
    def start(self, run: RunInfo) -> None:
        (run.folder / "hangs").touch()
        time.sleep(3600)

    def log(self, records: Sequence[Record]) -> None: ...


class Nice(BaseLogger):
    """Tells what kind of process it is in."""

    def start(self, run: RunInfo) -> None:
        import os
        import sys

        facts = {
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "session": os.getsid(0),
            "pid": os.getpid(),
            "torch": "torch" in sys.modules,
            "numpy threads": os.environ["OPENBLAS_NUM_THREADS"],
        }
        (run.folder / "process.json").write_text(json.dumps(facts))

    def log(self, records: Sequence[Record]) -> None: ...


class Picky(Witness):
    """Refuses some records for good."""

    def __init__(self, refuses: list[int]) -> None:
        super().__init__()
        self.refuses = refuses

    def log(self, records: Sequence[Record]) -> None:
        super().log([record for record in records if record.id not in self.refuses])
        refused = {record.id: f"no {record.id}s here" for record in records if record.id in self.refuses}
        if refused:
            raise NotTaken(refused)


class Forgetful(Witness):
    """May lose what it confirmed."""

    resend_seconds = 30.0


class Mistaken(Witness):
    def log(self, records: Sequence[Record]) -> None:
        raise ValueError(self.run.foldr)  # type: ignore[attr-defined]


class Leaving(Witness):
    def log(self, records: Sequence[Record]) -> None:
        raise SystemExit(3)
