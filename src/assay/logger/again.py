"""What a far end lacks or has too much of, found in the run folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from assay.store.journal import JOURNAL, Record, read
from assay.store.samples import SYSTEM, Sample, read_samples

__all__ = ["in_journal", "records_between", "samples_between"]


def in_journal(folder: Path, number: int, time: str) -> bool:
    """Whether record `number` still has this time (as its repr): a resume puts others in the place of those it cuts."""
    return any((record.id, repr(record.time)) == (number, time) for record in read(folder / JOURNAL))


def records_between(folder: Path, after: int, last: int) -> Iterator[Record]:
    """The records after `after` up to `last`; the journal is not opened where there can be none."""
    if after < last:
        records = takewhile(lambda record: record.id <= last, read(folder / JOURNAL))
        yield from (record for record in records if record.id > after)


def samples_between(folder: Path, after: int, last: int) -> Iterator[Sample]:
    """The samples after `after` up to `last`."""
    while after < last and (samples := read_samples(folder / SYSTEM, after)):
        yield from takewhile(lambda sample: sample.id <= last, samples)
        after = samples[-1].id
