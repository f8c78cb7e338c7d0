"""What the loggers of a run have not got yet, and which of them are in trouble: read from their cursors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.logger.courier.cursor import Cursor, components
from assay.store.journal import JOURNAL, last_id
from assay.store.samples import SYSTEM, last_sample
from assay.utils.atomic import read_json
from assay.utils.digest import sha256_of

__all__ = ["FIRST", "LAST", "Backlog", "Trouble", "backlogs", "brief", "files_of"]

FIRST = ("config.json", "transforms.json", "environment.json", "measurements.json")
LAST = ("output.log", "status.json")
_FAR = 5000
_LONGEST = 160


@dataclass(frozen=True)
class Backlog:
    """Of one logger: what is left for it, and what its cursor says."""

    records: int
    files: int
    samples: bool
    cursor: Cursor

    def __str__(self) -> str:
        """ "12 records and 3 files", or nothing."""
        parts = [_many(self.records, "record"), _many(self.files, "file")]
        if self.samples and not any(parts):
            return "the last samples of the machine"
        return " and ".join(filter(None, parts))


def backlogs(folder: Path, names: Iterable[str] | None = None) -> dict[str, Backlog]:
    """Of these loggers (by the names of their cursors), or of those that the run has."""
    last, sample = last_id(folder / JOURNAL), last_sample(folder / SYSTEM)
    sums = {name: sha256_of(path) for path, name in files_of(folder)}
    found = {}
    if names is None:
        names = [component.name for component in components(read_json(folder / "config.json"))]
    for name in names:
        cursor = Cursor.load(folder / "courier" / f"{name}.json")
        missing = sum(cursor.files.get(file) != digest for file, digest in sums.items() if file not in LAST)
        found[name] = Backlog(max(0, last - cursor.id), missing, sample > cursor.sample, cursor)
    return found


def brief(error: str | None) -> str:
    """What went wrong in one line of a terminal; the cursor has more."""
    text = error or ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """What a logger may keep of a run: path and name; the code last but for what is only whole at the end."""
    for name in FIRST:
        if (folder / name).is_file():
            yield folder / name, name
    for path in sorted((folder / "code").rglob("*")):
        if path.is_file():
            yield path, path.relative_to(folder).as_posix()
    for name in LAST:
        if (folder / name).is_file():
            yield folder / name, name


class Trouble:
    """Tells, each time it is asked, what has become of the loggers of a run since: every change once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: dict[str, str] = {}
        self._since = time.time()  # what an earlier courier of the run has left does not count

    def look(self) -> tuple[list[str], str]:
        """A sentence for each logger that has begun or ceased to fail, and how far those are behind that are."""
        news, behind, last = [], [], last_id(self.folder / JOURNAL)
        for path in sorted((self.folder / "courier").glob("*.json")):
            cursor = Cursor.load(path)
            if cursor.updated < self._since:
                continue
            before, now = self._said.get(path.stem, ""), cursor.status
            self._said[path.stem] = now
            if now == "failed" != before:
                news.append(f"warning: {path.stem} cannot be used and gets nothing: {brief(cursor.error)}")
            elif now == "retrying" != before:
                news.append(f"warning: {path.stem} takes no records: {cursor.error}; they are kept for when it does")
            elif before == "retrying" != now:
                news.append(f"{path.stem} takes records again")
            count = last - cursor.id
            if count > _FAR or (count > 0 and now in ("retrying", "failed")):
                behind.append(f"{path.stem} {count:,} records behind")
        return news, ", ".join(behind)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count > 1 else ''}" if count else ""
