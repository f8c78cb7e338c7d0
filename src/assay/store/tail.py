"""Reading a journal that is still being written, and noticing when a resume has cut it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from assay.errors import StorageError
from assay.store.journal import CUT, Record

__all__ = ["Tail"]


class Tail:
    """The records of a journal as they come.

    After a cut it goes on with the records that took the place of those cut, so their ids come again. Two
    things show a cut: the archive of cut lines has grown, or the last line read is not where it was.

    Args:
        path: `journal.jsonl` of a run folder; it need not be there yet.
        after: the last id that the reader has; the first record returned is the one after it.
        cut: bytes of `journal.cut.jsonl` that the reader knows of: `Tail.cut` as it was at that id.
    """

    def __init__(self, path: Path, after: int = -1, cut: int = 0) -> None:
        self.path = path
        self.last = after
        self.cut = cut
        self.went_back = False
        """Whether the last `read` noticed a cut: its records follow what is left of what was read before."""
        self._offset = 0
        self._line = b""

    def read(self, limit: int = 1000) -> list[Record]:
        """The next records, at most `limit`; none when there is nothing new.

        Raises:
            StorageError: the next line is complete and damaged.
        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)  # against a cut in the middle of this
            self.went_back = self._notice_cut(stream.fileno())
            stream.seek(self._offset)
            records: list[Record] = []
            while len(records) < limit and (line := stream.readline()).endswith(b"\n"):
                try:
                    record = Record.parse(line)
                except ValueError as error:
                    if records:
                        break
                    raise StorageError(f"{self.path} is damaged after record {self.last}", found=str(error)) from error
                self._offset += len(line)
                self._line = line
                if record.id > self.last:
                    self.last = record.id
                    records.append(record)
            return records

    def _notice_cut(self, descriptor: int) -> bool:
        archive = self.path.with_name(CUT)
        size = archive.stat().st_size if archive.exists() else 0
        moved = os.pread(descriptor, len(self._line), self._offset - len(self._line)) != self._line
        if size > self.cut:
            gone = _ids(archive, self.cut)
        elif moved:  # the archive does not tell what went: all in it may have, or all there is
            gone = _ids(archive, 0) or [0]
        else:
            gone = []
        if gone:
            self.last = min(self.last, min(gone) - 1)
            self._offset, self._line = 0, b""
        self.cut = size
        return bool(gone)


def _ids(archive: Path, offset: int) -> list[int]:
    """The ids of the lines after `offset`."""
    if not archive.exists():
        return []
    with archive.open("rb") as stream:
        stream.seek(offset)
        return [Record.parse(line).id for line in stream if line.endswith(b"\n")]
