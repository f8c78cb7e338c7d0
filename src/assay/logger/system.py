"""What the machine and the run use: a line in `system.jsonl` every few seconds, written by the courier.

    {"time": 1767225600.25, "machine": {"cpu_percent": 81.2, …}, "run": {"cpu_percent": 193.0, …}}

Units are in the names; percent of the run's CPU are of one core. What a machine cannot tell is left out.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import psutil

from assay.store.samples import SYSTEM

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
        self.pid = pid
        psutil.cpu_percent()
        psutil.cpu_percent(percpu=True)
        self._moment = time.monotonic()
        self._counters = _counters()
        self._run_seconds = self._cpu_seconds()

    def run(self, every: float, over: Callable[[], bool], stop: Event) -> None:
        """Write a line every `every` seconds until the run is over, and one at its end."""
        said = False
        pause = min(1.0, every)
        while not over() and not stop.is_set():
            until = time.monotonic() + pause
            while (rest := until - time.monotonic()) > 0 and not over() and not stop.wait(min(rest, 0.25)):
                pass
            pause = every
            try:
                self.write()
            except (OSError, psutil.Error) as error:
                if not said:
                    _log.warning("the machine cannot be measured: %s: %s", type(error).__name__, error)
                said = True

    def write(self) -> None:
        """Measure and append one line.

        Raises:
            OSError: the disk refuses.
        """
        line = orjson.dumps(self.sample(), option=orjson.OPT_APPEND_NEWLINE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.folder / SYSTEM, flags, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def sample(self) -> dict[str, Any]:
        """Rates are over the time since the last sample."""
        moment = time.monotonic()
        seconds = max(moment - self._moment, 1e-3)
        counters, run_seconds = _counters(), self._cpu_seconds()
        machine = _machine(self.folder)
        for name, value in counters.items():
            if name in self._counters:
                machine[f"{name}_per_second"] = max(0.0, (value - self._counters[name]) / seconds)
        run: dict[str, Any] = {}
        if run_seconds:
            # A process that is new since the last sample has run only since then.
            used = sum(value - self._run_seconds.get(pid, 0.0) for pid, value in run_seconds.items())
            run = {"cpu_percent": 100 * max(used, 0.0) / seconds, **self._memory()}
        self._moment, self._counters, self._run_seconds = moment, counters, run_seconds
        return {"time": time.time(), "machine": machine, "run": run}

    def _processes(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        try:
            trainer = psutil.Process(self.pid)
            return [
                trainer,
                *(child for child in trainer.children(recursive=True) if child.pid != os.getpid()),
            ]
        except psutil.Error:
            return []

    def _cpu_seconds(self) -> dict[int, float]:
        seconds = {}
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue  # it ended meanwhile
            seconds[process.pid] = times.user + times.system
        return seconds

    def _memory(self) -> dict[str, int]:
        sizes = []
        for process in self._processes():
            try:
                sizes.append(process.memory_info().rss)
            except psutil.Error:
                continue
        return {"processes": len(sizes), "memory_rss_bytes": sum(sizes)}


def _counters() -> dict[str, float]:
    """Bytes since the machine started."""
    counters: dict[str, float] = {}
    if (disk := _reading(psutil.disk_io_counters)) is not None:
        counters |= {"disk_read_bytes": disk.read_bytes, "disk_written_bytes": disk.write_bytes}
    if (network := _reading(psutil.net_io_counters)) is not None:
        counters |= {"network_received_bytes": network.bytes_recv, "network_sent_bytes": network.bytes_sent}
    return counters


def _machine(folder: Path) -> dict[str, Any]:
    memory, swap = psutil.virtual_memory(), _reading(psutil.swap_memory)
    machine: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_percent_by_core": psutil.cpu_percent(percpu=True),
        "memory_total_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "memory_percent": memory.percent,
        "disk_free_bytes": psutil.disk_usage(str(folder)).free,
    }
    if (load := _reading(psutil.getloadavg)) is not None:
        machine["load_1_minute"] = load[0]
    if swap is not None:
        machine |= {"swap_used_bytes": swap.used, "swap_percent": swap.percent}
    # Not every system has this function, and not every machine a sensor.
    temperatures = _reading(getattr(psutil, "sensors_temperatures", dict)) or {}
    readings = {
        f"{chip}/{entry.label or index}": entry.current
        for chip, entries in temperatures.items()
        for index, entry in enumerate(entries)
    }
    return machine | ({"temperatures_celsius": readings} if readings else {})


def _reading(sensor: Callable[[], Any]) -> Any:
    """None where this machine or container does not let itself be asked."""
    try:
        return sensor()
    except (OSError, RuntimeError, NotImplementedError, psutil.Error):
        return None
