"""Every error that a user can cause or meet, with the exit code that the command line gives it.

AssayError                  70  a bug in assay, when nothing more exact fits
+-- ConfigError              2  the configuration or the command line is wrong (holds every problem found)
+-- DataError                3  the data is missing, damaged, or does not fit
+-- CheckpointError          4  a checkpoint is missing, damaged, or not of this model
+-- NonFiniteError           5  a loss, gradient or weight is NaN or infinite
+-- StorageError             6  the disk is full, read-only, or refuses to write
+-- RunBusyError             7  another process holds the run, or the run is finished
+-- MemoryExhaustedError     8  the device is out of memory
+-- Interrupted    129/130/143  a signal asked the run to stop; it was saved
+-- RankLostError          137  another process of the same training was killed, or its machine is gone
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "AssayError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "MemoryExhaustedError",
    "Moved",
    "NonFiniteError",
    "Place",
    "Problem",
    "RankLostError",
    "RunBusyError",
    "StorageError",
    "few",
    "room",
]


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: a file with line and column (both from 1), or a flag of the command line."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: one sentence, where it stands, what was found and expected, what to try.

    `excerpt` is the line that it stands in and, below, a caret.
    """

    message: str
    place: Place | None = None
    key: str = ""
    found: str = ""
    expected: str = ""
    hint: str = ""
    excerpt: str = ""

    @property
    def where(self) -> str:
        """File, line, column and key, as far as they are known."""
        return " ".join(filter(None, (str(self.place or ""), f"({self.key})" if self.key else "")))

    def __str__(self) -> str:
        lines = [self.message]
        pairs = (
            ("where", self.where),
            ("", self.excerpt.replace("\n", f"\n{12 * ' '}")),
            ("found", self.found),
            ("expected", self.expected),
            ("try", self.hint),
        )
        lines += [f"  {name + ':' if name else '':<9} {text}" for name, text in pairs if text]
        return "\n".join(lines)


@dataclass(frozen=True)
class Moved(Problem):
    """A key of an older system, and where it lives here: told in one line, and never left out."""


@dataclass(eq=False)
class AssayError(Exception):
    """The root. `message` is one sentence; `hint` is one thing to try."""

    exit_code = 70

    message: str
    hint: str = ""
    where: str = ""
    found: str = ""
    expected: str = ""

    def __str__(self) -> str:
        place = Place(self.where) if self.where else None
        return str(Problem(self.message, place, "", self.found, self.expected, self.hint))


class ConfigError(AssayError):
    """All the mistakes of a configuration at once, sorted by place: files first, then settings, then what has none.

    Args:
        problems: the mistakes.
        head: what there is to say of all of them together.
        most: how many of them the command line shows without `--all`.

    >>> print(ConfigError.of(Problem("no model named 'ResNt'", key="model.type", hint="'ResNet'")))
    no model named 'ResNt'
      where:    (model.type)
      try:      'ResNet'
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], head: str = "", most: int = 20) -> None:
        self.problems = sorted(problems, key=_order)
        self.head, self.most = head, most
        super().__init__("\n".join([*filter(None, [head]), *map(str, self.problems)]))

    @classmethod
    def of(cls, problem: Problem) -> ConfigError:
        return cls([problem])

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Problem], str, int]]:
        return type(self), (self.problems, self.head, self.most)


def _order(problem: Problem) -> tuple[bool, bool, Place, str]:
    place = problem.place or Place("")
    return not problem.place, place.file.startswith("--"), place, problem.key


class DataError(AssayError):
    exit_code = 3


class CheckpointError(AssayError):
    exit_code = 4


class NonFiniteError(AssayError):
    exit_code = 5


class StorageError(AssayError):
    exit_code = 6

    @classmethod
    def writing(cls, path: Path, error: OSError, needed: int | None = None) -> StorageError:
        """`needed` is in bytes."""
        closed = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
        remedy = "make it writable" if closed else "free some space"
        return cls(
            f"could not write {path}: {error.strerror or error}",
            hint=f"{remedy}, or choose another `folder` in the configuration",
            found=room(path, needed),
        )


def few(values: Sequence[object]) -> str:
    """The first eight of them, for a message: `3, 17, 40, …`."""
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")


def room(path: Path, needed: int | None = None) -> str:
    """What is free where `path` is or would be, and what is needed of it (bytes): `12 MiB free, 48 MiB needed`."""
    texts = []
    for folder in (path, *path.absolute().parents):
        try:
            facts = os.statvfs(folder)
        except OSError:
            continue
        texts.append(f"{_size(facts.f_bavail * facts.f_frsize)} free")
        if facts.f_files and not facts.f_favail:
            texts.append("no free inodes")
        break
    if needed is not None:
        texts.append(f"{_size(needed)} needed")
    return ", ".join(texts)


def _size(count: int) -> str:
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    value = float(count)
    while value >= 1024 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{value:.0f} {units[0]}" if value >= 10 or units[0] == "bytes" else f"{value:.1f} {units[0]}"


class RunBusyError(AssayError):
    exit_code = 7


class MemoryExhaustedError(AssayError):
    exit_code = 8


class Interrupted(AssayError):
    """A signal stopped the run after its state was saved; `signal` is its number, such as 2 (SIGINT)."""

    exit_code = 130
    signal = 2

    @classmethod
    def by(cls, signal: int, message: str, hint: str = "") -> Interrupted:
        error = cls(message, hint=hint)
        error.signal = signal
        # SIGUSR1 too is a scheduler that wants the machine back.
        error.exit_code = {1: 129, 2: 130}.get(signal, 143)
        return error


class RankLostError(AssayError):
    exit_code = 137
