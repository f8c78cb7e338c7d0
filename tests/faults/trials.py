"""Small trainings beside which something fails, at steps that are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import torch

import assay
from assay.logger.courier import launch
from assay.trainer.default import DefaultTrainer
from assay.utils.atomic import read_json
from far_ends import FarEnd, journalled

__all__ = ["Acting", "Trial", "weights"]

Acts = dict[int, Callable[[], object]]
"""What happens before the update after so many."""

STEPS = 82  # 2 epochs of 41 batches


class Acting(DefaultTrainer):
    """Trains as the default one does, with something done between its steps."""

    acts: ClassVar[Acts] = {}
    pause: ClassVar[float] = 0.02  # seconds

    def train_step(self, batch: Any) -> Any:
        if act := Acting.acts.get(self.progress.step):
            act()
        time.sleep(Acting.pause)
        return super().train_step(batch)


def weights(run: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run.folder.checkpoints / "last" / "model.pt", weights_only=True)
    return found


@dataclass
class Trial:
    """A project, a tracker and a run with a logger for it."""

    far: FarEnd
    name: str
    config: dict[str, Any]
    quiet: dict[str, torch.Tensor]
    run: Any = None
    threads: list[Thread] = field(default_factory=list)

    @property
    def cursor(self) -> Path:
        (path,) = Path("saved").glob(f"*/*/courier/{self.far.type}.json")
        return path

    def train(self, acts: Acts, port: int | None = None, **args: Any) -> Any:
        """Train to the end, with the proxy at `port` if one is given, and more arguments of the logger."""
        entry = self.far.logger(self.name, port)
        entry["args"] |= args
        Acting.acts = acts
        self.run = assay.train({**self.config, "loggers": [entry]}, preflight=False)
        assert self.run.status["state"] == "completed"
        for thread in self.threads:
            thread.join()
        return self.run

    def delivered(self) -> int:
        """The last record that the cursor says is there."""
        paths = list(Path("saved").glob(f"*/*/courier/{self.far.type}.json"))
        return int(read_json(paths[0])["id"]) if paths else -1

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come about"
            time.sleep(0.02)

    def taken(self) -> None:
        """Wait until the server has the first records: from here on is the middle of the run."""
        self.wait(lambda: self.delivered() >= 0)

    def reached(self, number: int) -> Callable[[], None]:
        """Wait until the server has that record: what is measured next comes in another batch."""
        return lambda: self.wait(lambda: self.delivered() >= number, 120)

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        def later() -> None:
            time.sleep(seconds)
            act()

        self.threads.append(Thread(target=later))
        self.threads[-1].start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()

    def kill_courier(self) -> None:
        """SIGKILL, if it lives."""
        for path in Path("saved").glob(f"*/*/courier/{self.far.type}.lock"):
            with suppress(OSError, ValueError, KeyError):
                pid = int(read_json(path)["pid"])
                if pid != os.getpid() and b"assay.logger.courier.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    def sync(self) -> None:
        """As `assay sync last` does it, until nothing is left."""
        for delivered in launch.sync([self.run.path], deadline=60.0).values():
            assert not str(delivered.backlog), delivered.backlog.cursor.error

    def settle(self) -> None:
        """Wait for the courier of the run that still tries, as somebody does who leaves it alone."""
        self.wait(lambda: read_json(self.cursor)["status"] == "closed", 90)

    def prove(self) -> None:
        """Every measurement is there, once; and the weights are those of a run without a logger, to the bit."""
        there, measured = self.far.points(self.name, self.run.path.name), journalled(self.run.path, self.far.spell)
        assert len(measured) > 3 * STEPS
        assert there == measured
        now = weights(self.run)
        assert now.keys() == self.quiet.keys()
        assert all(torch.equal(self.quiet[name], now[name]) for name in now)
