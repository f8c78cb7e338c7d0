"""What the machine and the run used: the lines of `system.jsonl`, read while they are written.

{"time": 1767225600.25, "machine": {"cpu_percent": 81.2, …}, "run": {"cpu_percent": 193.0, …}}
{"time": 1767225601.5, "training": {"epoch": 0, "step": 21, "seconds": 2.4, "samples": 1293}}
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

__all__ = ["SYSTEM", "Sample", "append_sample", "last_sample", "read_samples"]

SYSTEM = "system.jsonl"


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of `system.jsonl`; units are in the names of the values.

    Args:
        id: where the line begins, in bytes: it goes up from line to line and is the same whoever reads it.
        time: seconds since 1970.
        machine: of the whole machine; may hold lists (one value a core) and objects (one a sensor or a GPU).
        run: of the trainer and its children.
        training: where the run stood and how long it took since the line before of this kind.
    """

    id: int
    time: float
    machine: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def scalars(self) -> Iterator[tuple[str, float]]:
        """Full names with their numbers: ("system/machine/cpu_percent", 81.2), …, lists by index."""
        for part in ("machine", "run", "training"):
            yield from _numbers(getattr(self, part), f"system/{part}")


def append_sample(path: Path, fields: Mapping[str, Any]) -> None:
    """One line more; trainer and courier write to one file.

    Raises:
        OSError: the disk refuses.
    """
    line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # else the end of another's unfinished write looks torn
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # Half a line that a full disk left. Cut off it cannot be: others may have written behind it by now.
            line = b"\n" + line
        while line:
            line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)


def read_samples(path: Path, after: int = -1, limit: int = 1000) -> list[Sample]:
    """The samples that follow the one with id `after`, at most `limit`; lines that are damaged are left out."""
    found: list[Sample] = []
    if not path.exists():
        return found
    with path.open("rb") as stream:
        stream.seek(max(after, 0))
        if after >= 0:
            stream.readline()
        while len(found) < limit:
            start = stream.tell()
            line = stream.readline()
            if not line.endswith(b"\n"):
                break
            try:
                fields = orjson.loads(line)
                sample = Sample(start, float(fields.pop("time")), **fields)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # two lines that a full disk made one: the others are whole
            found.append(sample)
    return found


def last_sample(path: Path) -> int:
    """The id of the last whole line, or -1; only the end of the file is read."""
    if not path.exists():
        return -1
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        block = 1 << 14
        while True:
            start = max(0, size - block)
            stream.seek(start)
            tail = stream.read(size - start)
            end = tail.rfind(b"\n")
            before = tail.rfind(b"\n", 0, max(end, 0))
            if end < 0 and not start:
                return -1
            if before >= 0 or not start:
                return start + before + 1
            block *= 4


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _numbers(part, f"{name}/{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{name}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)
