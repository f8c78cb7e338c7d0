"""A table in the run folder that grows at its end: which rows it holds is known to the byte."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from assay.store.journal import Record
from assay.store.samples import Sample

__all__ = ["MEASUREMENTS", "SYSTEM_VALUES", "Sheet", "rows_of_records", "rows_of_samples"]

MEASUREMENTS = ("id", "time", "phase", "epoch", "step", "samples", "name", "value")
SYSTEM_VALUES = ("id", "time", "name", "value")

Row = Sequence[Any]
_BLOCK = 4096


class Sheet(ABC):
    """Args: path: of the file that rows are added to; columns: their names."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, tuple(columns)

    @abstractmethod
    def head(self) -> bytes:
        """What the file begins with."""

    @abstractmethod
    def encoded(self, rows: Sequence[Row]) -> bytes:
        """What is added for these rows."""

    def holds(self, size: int) -> bool:
        """Whether the file has its first `size` bytes still."""
        return self.path.is_file() and self.path.stat().st_size >= size

    def append(self, size: int, rows: Iterable[Row]) -> int:
        """Write the rows after the first `size` bytes, in place of what a crash left there; the new size."""
        with self.path.open("r+b", buffering=0) as stream:
            if stream.seek(0, 2) != size:
                stream.truncate(size)
                stream.seek(size)
            for block in self._blocks(rows):
                _write(stream, block)
            return stream.tell()

    def rebuild(self, rows: Iterable[Row]) -> int:
        """A new file of these rows, in one move; its size."""
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with temporary.open("wb", buffering=0) as stream:
            _write(stream, self.head())
            for block in self._blocks(rows):
                _write(stream, block)
            size = stream.tell()
        temporary.replace(self.path)
        return size

    def _blocks(self, rows: Iterable[Row]) -> Iterator[bytes]:
        rest = iter(rows)
        while block := list(islice(rest, _BLOCK)):
            yield self.encoded(block)


def rows_of_records(records: Iterable[Record]) -> Iterator[Row]:
    """One for each value, in the columns `MEASUREMENTS`."""
    for record in records:
        for name, value in record.values.items():
            yield record.id, record.time, record.phase, record.epoch, record.step, record.samples, name, value


def rows_of_samples(samples: Iterable[Sample]) -> Iterator[Row]:
    """One for each number, in the columns `SYSTEM_VALUES`."""
    for sample in samples:
        for name, value in sample.scalars():
            yield sample.id, sample.time, name, value


def _write(stream: Any, block: bytes) -> None:
    while block:
        block = block[stream.write(block) :]
