"""TensorBoard's event file, written without torch, TensorFlow or a thread, and known to the byte."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from assay.logger.tensorboard.checksums import masked
from assay.utils.atomic import read_json, write_json

__all__ = ["Position", "append", "create"]


@dataclass
class Position:
    """What an event file holds, saved beside it after every write; bytes behind `size` do not count.

    Args:
        id: of the last record in it.
        sample: of the last sample in it.
        second, step: where the last sample of the machine and the last of the training stand.
        file: its name.
        size: its length in bytes.
        files: name -> sha256 of the run's files shown in it.
        status: how the run ended, where the file says so.
    """

    id: int = -1
    sample: int = -1
    second: int = -1
    step: int = -1
    file: str = ""
    size: int = 0
    files: dict[str, str] = field(default_factory=dict)
    status: str = ""

    @classmethod
    def load(cls, path: Path) -> Position:
        """The position saved; the beginning where there is none, or a loss of power emptied it."""
        try:
            return cls(**read_json(path))
        except (FileNotFoundError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))


def append(path: Path, size: int, events: Iterable[Event]) -> int:
    """Write `events` after the first `size` bytes of the file, in place of what is there; the new size."""
    with path.open("r+b", buffering=0) as stream:
        stream.truncate(size)
        stream.seek(size)
        for block in _encoded(events):
            _write(stream, block)
        return stream.tell()


def create(folder: Path, events: Iterable[Event], since: float) -> Path:
    """A new file of `events`, in one move, for a run that began at `since` (seconds since 1970)."""
    temporary = folder / ".rebuilt.tmp"
    # START tells a TensorBoard that is looking on to forget what an earlier file of this run showed.
    version = Event(wall_time=since, file_version="brain.Event:2")
    start = Event(wall_time=since, session_log=SessionLog(status=SessionLog.START))
    with temporary.open("wb", buffering=0) as stream:
        for block in _encoded(chain((version, start), events)):
            _write(stream, block)
    # TensorBoard reads files in the order of their names and never goes back to an earlier one.
    seconds, rest = divmod(time.time_ns(), 10**9)
    name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}.{os.getpid()}"
    return temporary.rename(folder / name)


def _encoded(events: Iterable[Event]) -> Iterator[bytes]:
    """In blocks of up to a thousand: a long run is never in memory as a whole."""
    rest = iter(events)
    while block := [event.SerializeToString() for event in islice(rest, 1000)]:
        yield b"".join(
            part
            for message, checksum in zip(block, masked(block), strict=True)
            for part in (_head(len(message)), message, struct.pack("<I", checksum))
        )


@lru_cache(maxsize=4096)
def _head(length: int) -> bytes:
    """What stands before a record of `length` bytes: the length and its checksum."""
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", *masked([head]))


def _write(stream: io.FileIO, block: bytes) -> None:
    while block:
        block = block[stream.write(block) :]
