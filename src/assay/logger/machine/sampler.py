"""What the machine and the run use: a line in `system.jsonl` every few seconds, written by the courier.

    {"time": 1767225600.25, "machine": {"cpu_percent": 81.2, …}, "run": {"cpu_percent": 193.0, …}}

Units are in the names; percent of the run's CPU are of one core. What a machine cannot tell is left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from assay.logger.machine.gpus import Gpus
from assay.logger.machine.host import Machine
from assay.logger.machine.pacing import Paced
from assay.logger.machine.processes import Processes
from assay.store.samples import SYSTEM, append_sample

__all__ = ["Sampler"]

_log = logging.getLogger(__name__)


class Sampler:
    """Measures from the moment it is made.

    Args:
        folder: of the run; its disk is the one whose free space is told.
        pid: of the trainer; its children count as the run, this process does not. None: the machine only.
    """

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder = folder
        self.machine = Machine(folder)
        self.processes = Processes(pid)
        self.gpus = Gpus()
        self._gpus = Paced(self._measure_gpus)

    def run(self, every: float, over: Callable[[], bool], stop: Event) -> None:
        """Write a line every `every` seconds until the run is over, and one at its end, however short it was."""
        ended = said = False
        at = time.monotonic() + min(1.0, every)
        while not ended:
            while (rest := at - time.monotonic()) > 0 and not over() and not stop.wait(min(rest, 0.25)):
                pass
            ended = over() or stop.is_set()
            at = max(at + every, time.monotonic())
            try:
                self.write()
            except (OSError, ValueError) as error:
                if not said:
                    _log.warning("the machine cannot be measured: %s: %s", type(error).__name__, error)
                said = True

    def write(self) -> None:
        """Measure and append one line.

        Raises:
            OSError: the disk refuses.
        """
        append_sample(self.folder / SYSTEM, self.sample())

    def sample(self) -> dict[str, Any]:
        """Rates are over the time since the last sample."""
        machine, run = self.machine.sample(), self.processes.sample()
        gpus, ours = self._gpus()
        if gpus:
            machine["gpus"] = gpus
        if run and ours:
            run["gpus"] = ours
        return {"time": time.time(), "machine": machine, "run": run}

    def _measure_gpus(self) -> tuple[dict[str, Any], dict[str, Any]]:
        machine = self.gpus.machine()
        return machine, self.gpus.run(self.processes.pids) if machine else {}
