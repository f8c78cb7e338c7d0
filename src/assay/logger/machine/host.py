"""What the whole machine uses: processors, memory, temperatures, the run's disk, the network.

Units are in the names. What this machine or container does not let itself be asked is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from assay.logger.machine.pacing import Paced

__all__ = ["Machine"]


class Machine:
    """Loads and rates are over the time since the last `sample`, at first since this was made.

    Args:
        folder: its disk is the one whose space is told.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temperatures = Paced(_temperatures)
        self._moment = time.monotonic()
        self._cores = _cores()
        self._counts = _counts()

    def sample(self) -> dict[str, Any]:
        moment, cores, counts = time.monotonic(), _cores(), _counts()
        seconds = max(moment - self._moment, 1e-3)
        facts = self._load(cores) | _memory() | _reading(lambda: _space(self.folder))
        for name, count in counts.items():
            if name in self._counts:
                facts[f"{name}_per_second"] = max(0.0, (count - self._counts[name]) / seconds)
        self._moment, self._cores, self._counts = moment, cores, counts
        return facts | self._temperatures()

    def _load(self, cores: list[tuple[float, float]]) -> dict[str, Any]:
        percents = []
        for (busy, whole), (busy_before, whole_before) in zip(cores, self._cores, strict=False):
            part = (busy - busy_before) / (whole - whole_before) if whole > whole_before else 0.0
            percents.append(round(100 * min(max(part, 0.0), 1.0), 1))
        facts: dict[str, Any] = {}
        if percents:
            facts = {"cpu_percent": round(sum(percents) / len(percents), 1), "cpu_percent_by_core": percents}
        return facts | _reading(lambda: {"load_1_minute": psutil.getloadavg()[0]})


def _reading(sensor: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return sensor()
    except (OSError, RuntimeError, NotImplementedError, AttributeError, psutil.Error):
        return {}


def _cores() -> list[tuple[float, float]]:
    """Seconds that each core was busy, and all of its seconds."""
    found = []
    for times in _reading(lambda: {"cores": psutil.cpu_times(percpu=True)}).get("cores", ()):
        # Time of guests is in that of the user already; waiting for a disk is not work.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        found.append((whole - times.idle - getattr(times, "iowait", 0.0), whole))
    return found


def _memory() -> dict[str, Any]:
    facts = _reading(lambda: _fields("memory", psutil.virtual_memory(), ("total", "available", "used", "free")))
    return facts | _reading(lambda: _fields("swap", psutil.swap_memory(), ("total", "used", "free")))


def _space(folder: Path) -> dict[str, Any]:
    return _fields("disk", psutil.disk_usage(str(folder)), ("total", "used", "free"))


def _fields(prefix: str, values: Any, names: Iterable[str]) -> dict[str, Any]:
    sizes = {f"{prefix}_{name}_bytes": getattr(values, name) for name in names}
    return sizes | {f"{prefix}_percent": values.percent}


def _counts() -> dict[str, float]:
    """Since the machine started."""
    return _reading(_disk_counts) | _reading(_network_counts)


def _disk_counts() -> dict[str, float]:
    disk = psutil.disk_io_counters(nowrap=False)
    if disk is None:
        return {}
    return {
        "disk_read_bytes": disk.read_bytes,
        "disk_written_bytes": disk.write_bytes,
        "disk_reads": disk.read_count,
        "disk_writes": disk.write_count,
    }


def _network_counts() -> dict[str, float]:
    """Without the loopback: what a machine says to itself takes no network."""
    cards = psutil.net_io_counters(pernic=True, nowrap=False) or {}
    outward = [counts for name, counts in cards.items() if name != "lo"]
    if not outward:
        return {}
    return {
        "network_received_bytes": sum(counts.bytes_recv for counts in outward),
        "network_sent_bytes": sum(counts.bytes_sent for counts in outward),
    }


def _temperatures() -> dict[str, Any]:
    """By "chip/label"; a chip that labels nothing has its sensors by number."""
    current: dict[str, float] = {}
    limits: dict[str, dict[str, float]] = {}
    for chip, entries in _reading(lambda: dict(psutil.sensors_temperatures())).items():
        for index, entry in enumerate(entries):
            if entry.current is None:
                continue
            name = f"{chip}/{entry.label or index}"
            while name in current:  # two disks of one make
                name += "'"
            current[name] = entry.current
            told = {"high": getattr(entry, "high", None), "critical": getattr(entry, "critical", None)}
            if kept := {limit: value for limit, value in told.items() if value is not None}:
                limits[name] = kept
    if not current:
        return {}
    return {"temperatures_celsius": current} | ({"temperature_limits_celsius": limits} if limits else {})
