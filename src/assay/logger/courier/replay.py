"""Records that a resume measures again, held against those that were delivered before: what is equal stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from assay.store.journal import CUT, Record

__all__ = ["Replay", "first_of_each"]


class Replay:
    """The records that were cut from a journal, in the order of their ids.

    Args:
        folder: of the run.
        offset: in `journal.cut.jsonl`, where the lines begin that the logger had been given as records.
    """

    def __init__(self, folder: Path, offset: int) -> None:
        self._records = first_of_each(folder / CUT, offset)
        self._next = next(self._records, None)

    def is_same(self, record: Record) -> bool:
        """Whether the record that had this id before said the same, but for the time. Ask in the order of ids."""
        while self._next is not None and self._next.id < record.id:
            self._next = next(self._records, None)
        # As text: NaN is not equal to itself.
        return self._next is not None and repr(replace(self._next, time=0.0)) == repr(replace(record, time=0.0))


def first_of_each(path: Path, offset: int) -> Iterator[Record]:
    """The records after `offset`.

    What was cut later has ids that came before: it took the place of what had been delivered, and was not.
    """
    if not path.exists():
        return
    last = -1
    with path.open("rb") as stream:
        stream.seek(offset)
        for line in stream:
            if line.endswith(b"\n"):
                record = Record.parse(line)
                if record.id > last:
                    last = record.id
                    yield record
