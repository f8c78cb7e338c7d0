"""The journal of a run: a JSON line for every moment at which something was measured, never rewritten.

    {"id": 7, "time": 1767225600.25, "phase": "validation", "epoch": 2, "step": 69, "samples": 4851,
     "values": {"loss": 0.41, "accuracy": "NaN"}, "media": {"digits": {"kind": "image", "path": "media/…"}}}

The trainer writes it; loggers, tables and reports read it. A resume cuts it at the checkpoint's offset and
keeps what it cut in `journal.cut.jsonl`.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.errors import StorageError, room
from assay.utils.atomic import fsync_folder, read_json, write_json

__all__ = ["CUT", "JOURNAL", "Journal", "Record", "cut", "digest", "encoded", "last_id", "read"]

JOURNAL = "journal.jsonl"
CUT = "journal.cut.jsonl"

_BLOCK = 1 << 16
_PART = 1 << 20  # bytes that are summed at once


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal.

    Args:
        id: goes up by one from line to line, over a resume too.
        time: seconds since 1970, at the step itself and not at the writing.
        phase: "train" (a whole epoch), "batch" (a window of steps), "validation" or "test".
        epoch: from 0.
        step: updates done so far.
        samples: training samples consumed so far.
        values: name -> number, non-finite ones included.
        media: name -> {"kind": …, "path": relative to the run folder}; kinds are "image" (PNG), "histograms" and
            "matrix" (JSON), "text" (UTF-8, Markdown) and "file" (any).
    """

    id: int
    time: float
    phase: str
    epoch: int
    step: int
    samples: int
    values: dict[str, float]
    media: dict[str, dict[str, Any]] = field(default_factory=dict)

    def scalars(self) -> Iterator[tuple[str, float]]:
        """Full names with their numbers: ("validation/loss", 0.41), …"""
        for name, value in self.values.items():
            yield f"{self.phase}/{name}", value

    @classmethod
    def parse(cls, line: bytes) -> Record:
        """Raises: ValueError where the line is none of ours."""
        try:
            fields = orjson.loads(line)
            # float() reads "NaN", "Infinity" and "-Infinity", and leaves a number as it is.
            values = {name: float(value) for name, value in fields.pop("values").items()}
            return cls(**fields, values=values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


class Journal:
    """The writing end: one `os.write` for what is put, so that nothing of it is lost to a SIGKILL.

    Opening repairs a last line that a loss of power tore.

    Args:
        path: `journal.jsonl` of a run folder, made if it is not there.
        next_id: the id of the next record; it is at least one more than the last in the file.

    Raises:
        StorageError: the file cannot be opened or written, or is no journal.
    """

    def __init__(self, path: Path, next_id: int = 0) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._offset, last = sound_end(self._descriptor)
            size = os.fstat(self._descriptor).st_size
            torn = os.pread(self._descriptor, size - self._offset, self._offset).count(b"\n")
            if torn > 1:  # more than one torn write would leave: not ours to throw away
                self.close()
                raise StorageError(
                    f"the end of {path} is damaged",
                    found=f"{torn} lines after byte {self._offset} that are no records",
                    hint="move the file away, or cut it there",
                )
            os.ftruncate(self._descriptor, self._offset)
        except OSError as error:
            raise StorageError.writing(path, error) from error
        self._next_id = max(next_id, last + 1)
        self._hash, self._hashed = hashlib.sha256(), 0

    @property
    def next_id(self) -> int:
        """The id that the next record will have."""
        return self._next_id

    @property
    def offset(self) -> int:
        """Bytes written so far: where a resume from now would cut."""
        return self._offset

    def digest(self) -> str:
        """SHA-256 of all that was written so far: a checkpoint keeps it, so that a digit that flips later is found.

        Raises:
            StorageError: the file cannot be read.
        """
        try:
            while self._hashed < self._offset:
                part = os.pread(self._descriptor, min(_PART, self._offset - self._hashed), self._hashed)
                if not part:
                    break  # somebody has cut it
                self._hash.update(part)
                self._hashed += len(part)
        except OSError as error:
            raise StorageError.writing(self.path, error) from error
        return self._hash.hexdigest()

    def append(
        self,
        *,
        phase: str,
        epoch: int,
        step: int,
        samples: int,
        values: Mapping[str, float],
        media: Mapping[str, Mapping[str, Any]] | None = None,
        time: float | None = None,
    ) -> int:
        """Write one record and return its id; `time` is now unless given.

        Raises:
            StorageError: the disk is full or refuses to write; no part of the line stays in the journal.
        """
        line: dict[str, Any] = {
            "id": -1,
            "time": clock.time() if time is None else time,
            "phase": phase,
            "epoch": epoch,
            "step": step,
            "samples": samples,
            "values": values,
        }
        if media:
            line["media"] = media
        return self.put(line)

    def put(self, *lines: dict[str, Any]) -> int:
        """As `append`, of records whose fields are in their order; their ids are set here, and the last is returned.

        Raises:
            StorageError: the disk is full or refuses to write; none of the lines stays in the journal.
        """
        parts = []
        for id_, line in enumerate(lines, self._next_id):
            line["id"] = id_
            parts.append(_line(line))
        self.write(b"".join(parts))
        self._next_id += len(lines)
        return self._next_id - 1

    def write(self, lines: bytes) -> None:
        """Append whole lines that are encoded already; ids are the caller's business.

        Raises:
            StorageError: the disk is full or refuses to write.
        """
        try:
            written = os.write(self._descriptor, lines)
            if written != len(lines):
                os.ftruncate(self._descriptor, self._offset)
                raise StorageError(
                    f"could not write {self.path}: the disk took {written} of {len(lines)} bytes",
                    hint="free some space, then resume the run",
                    found=room(self.path, len(lines)),
                )
        except OSError as error:
            raise StorageError.writing(self.path, error, len(lines)) from error
        self._offset += len(lines)

    def sync(self) -> None:
        """Make what was written survive a loss of power: before a checkpoint names the offset.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            os.fsync(self._descriptor)
            held = os.fstat(self._descriptor)
            is_there = self.path.is_file() and os.path.samestat(held, self.path.stat())
        except OSError as error:
            raise StorageError.writing(self.path, error) from error
        if not is_there:
            raise StorageError(
                f"{self.path} is gone or another file: the run folder was moved or removed while the run went on",
                hint="put it back where it was, and resume the run",
            )

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: Path) -> Iterator[Record]:
    """Every record of a journal; a torn last line is left out, and a file that is not there has none.

    Raises:
        StorageError: a line before the last is damaged (the message gives its number).
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        damaged: ValueError | None = None
        for number, line in enumerate(stream, 1):
            if damaged:
                raise StorageError(f"line {number - 1} of {path} is damaged", found=str(damaged)) from damaged
            if not line.endswith(b"\n"):
                return
            try:
                record = Record.parse(line)
            except ValueError as error:
                damaged = error
            else:
                yield record


def last_id(path: Path) -> int:
    """The id of the last complete record, or -1; only the end of the file is read."""
    if not path.exists():
        return -1
    with path.open("rb") as stream:
        return sound_end(stream.fileno())[1]


def digest(path: Path, size: int) -> str:
    """SHA-256 of the first `size` bytes of a journal, as `Journal.digest` gave it when it was as long.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while size > 0 and (part := stream.read(min(_PART, size))):
            found.update(part)
            size -= len(part)
    return found.hexdigest()


def cut(folder: Path, offset: int, next_id: int) -> int:
    """Take back every record from `offset` on, and return how many there were.

    They go to `journal.cut.jsonl`, the cursors in `courier/` go back to before them, and only then do they
    leave the journal: killed anywhere, a cut can be repeated.

    Raises:
        StorageError: `offset` is not the end of a line of this journal, or the disk refuses to write.
    """
    path = folder / JOURNAL
    if not offset and not path.exists():
        return 0  # the run died before its first record
    try:
        with path.open("r+b") as stream:
            # Readers hold it shared, so that none of them reads lines that are about to go.
            fcntl.flock(stream, fcntl.LOCK_EX)
            size = os.fstat(stream.fileno()).st_size
            if offset > size or (offset and os.pread(stream.fileno(), 1, offset - 1) != b"\n"):
                raise StorageError(
                    f"{path} does not fit the checkpoint",
                    found=f"{size} bytes",
                    expected=f"a line that ends at byte {offset}",
                    hint="it was changed after the checkpoint was saved; move it away to go on from the one before",
                )
            end, _ = sound_end(stream.fileno())
            stream.seek(offset)
            lines = stream.read(max(end - offset, 0)).splitlines(keepends=True)
            _archive(folder / CUT, lines)
            _rewind(folder / "courier", next_id)
            os.ftruncate(stream.fileno(), offset)
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError.writing(path, error) from error
    return len(lines)


def _line(line: dict[str, Any]) -> bytes:
    try:
        content = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # numbers of NumPy or torch
        content = b"null"
    if b"null" in content:  # what is not finite: found faster here than by a look at each number
        line["values"] = {name: encoded(value) for name, value in line["values"].items()}
        content = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    return content


def _archive(path: Path, lines: list[bytes]) -> None:
    """Append durably; lines that a cut killed in the middle has put there already are not put twice."""
    if not lines:
        return
    with closing(Journal(path)) as archive:
        length = min(archive.offset, sum(map(len, lines)))
        with path.open("rb") as stream:
            stream.seek(archive.offset - length)
            end = stream.read()
        done = len(lines)
        while done and not (end.endswith(lines[done - 1]) and end.endswith(b"".join(lines[:done]))):
            done -= 1
        if done < len(lines):
            archive.write(b"".join(lines[done:]))
        archive.sync()
    fsync_folder(path.parent)


def _rewind(cursors: Path, next_id: int) -> None:
    for path in sorted(cursors.glob("*.json")):
        try:
            cursor = dict(read_json(path))
        except (ValueError, TypeError):
            continue  # emptied by a loss of power; its logger begins anew
        last = cursor.get("id", -1)
        if last >= next_id:
            had = max(last, cursor.get("had", -1))
            write_json(path, cursor | {"id": next_id - 1, "had": had}, durable=True)


def encoded(value: float) -> float | str:
    """A number as the journal writes it: JSON has none that are not finite."""
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def sound_end(descriptor: int) -> tuple[int, int]:
    """Where the last complete record ends, in bytes, and its id; 0 and -1 where there is none."""
    size = os.fstat(descriptor).st_size
    block = _BLOCK
    while True:
        start = max(0, size - block)
        lines = os.pread(descriptor, size - start, start).splitlines(keepends=True)
        end = size
        for line in reversed(lines):  # the first may have begun before the block: then it is no record
            if line.endswith(b"\n"):
                try:
                    return end, Record.parse(line).id
                except ValueError:
                    pass
            end -= len(line)
        if not start:
            return 0, -1
        block *= 4
