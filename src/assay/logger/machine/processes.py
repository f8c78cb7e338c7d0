"""What the run itself uses: the trainer with its children, such as loader workers, read from /proc.

Source of the fields: proc_pid_stat(5) and proc_tid_children(5). Asking psutil for children reads every process
of the machine and costs a hundred times as much.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from assay.logger.machine.pacing import Paced

__all__ = ["Processes"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Stat(NamedTuple):
    """Of one process; `seconds` of CPU are its own and those of children that ended and were waited for."""

    parent: int
    seconds: float
    threads: int
    started: int
    rss: int


class Processes:
    """CPU is over the time since the last `sample`, at first since this was made.

    Args:
        pid: of the trainer. This process and its children do not count. None: there is nobody to measure.
    """

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        self._tree = Paced(self._pids)
        self._started = stat.started if pid is not None and (stat := _stat(pid)) else None
        self._moment = time.monotonic()
        self._seconds = sum(stat.seconds for stat in self._stats().values())

    def sample(self) -> dict[str, Any]:
        """Empty where the trainer is gone; percent of CPU are of one core."""
        moment, stats = time.monotonic(), self._stats()
        if not stats:
            return {}
        seconds = sum(stat.seconds for stat in stats.values())
        # Less than before: a process has left the family and took its time along.
        used, passed = max(seconds - self._seconds, 0.0), max(moment - self._moment, 1e-3)
        self._moment, self._seconds = moment, seconds
        return {
            "cpu_percent": round(100 * used / passed, 1),
            "processes": len(stats),
            "threads": sum(stat.threads for stat in stats.values()),
            "memory_rss_bytes": sum(stat.rss for stat in stats.values()),
        }

    @property
    def pids(self) -> set[int]:
        """Of all that belong to the run."""
        return set(self._stats())

    def _stats(self) -> dict[int, _Stat]:
        trainer = _stat(self.pid) if self.pid is not None else None
        if self.pid is None or trainer is None or trainer.started != self._started:
            return {}  # gone, and perhaps its number is another's by now
        found = {self.pid: trainer}
        for pid in self._tree():
            if stat := _stat(pid):
                found[pid] = stat
        return found

    def _pids(self) -> list[int]:
        """Of all descendants of the trainer."""
        assert self.pid is not None
        try:
            return _descendants(self.pid, _children)
        except NotImplementedError:
            families = _families()
            return _descendants(self.pid, lambda pid: families.get(pid, []))


def _descendants(pid: int, children: Callable[[int], list[int]]) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        new = [child for child in children(waiting.pop()) if child != os.getpid()]
        found += new
        waiting += new
    return found


def _families() -> dict[int, list[int]]:
    """Children by the number of their parent, from all processes of the machine."""
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (stat := _stat(int(name))):
            families.setdefault(stat.parent, []).append(int(name))
    return families


def _children(pid: int) -> list[int]:
    """Raises: NotImplementedError where the kernel keeps no such list."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for number, thread in enumerate(threads):
        text = _read(f"/proc/{pid}/task/{thread}/children")
        if text is not None:
            found += map(int, text.split())
        elif not number and os.path.exists(f"/proc/{pid}/task/{thread}"):
            raise NotImplementedError("/proc has no lists of children")
    return found


def _stat(pid: int) -> _Stat | None:
    """None where there is no such process."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # The second field is the name in parentheses, and may hold some itself; from the third on there are numbers.
    fields = text[text.rindex(b")") + 2 :].split()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
    return _Stat(int(fields[1]), ticks / _TICKS, int(fields[17]), int(fields[19]), int(fields[21]) * _PAGE)


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = b""
        while part := os.read(descriptor, 1 << 16):
            content += part
        return content
    except OSError:  # it ended while it was read
        return None
    finally:
        os.close(descriptor)
