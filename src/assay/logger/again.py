"""What a far end lacks or has too much of, found in the run folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, takewhile
from pathlib import Path

from assay.logger.base import RunInfo
from assay.logger.courier.replay import first_of_each
from assay.store.journal import CUT, JOURNAL, Record, read
from assay.store.samples import SYSTEM, Sample, read_samples

__all__ = ["in_journal", "records_between", "samples_between"]


def in_journal(folder: Path, number: int, time: str) -> bool:
    """Whether record `number` still has this time (as its repr): a resume puts others in the place of those it cuts."""
    return any((record.id, repr(record.time)) == (number, time) for record in read(folder / JOURNAL))


def records_between(run: RunInfo, after: int, last: int) -> Iterator[Record]:
    """The records after `after` up to `last`; no file is opened where there can be none.

    Those that a resume took from the journal and has not measured again yet are still what is delivered.
    """
    if after < last:
        for record in chain(read(run.folder / JOURNAL), first_of_each(run.folder / CUT, run.cut)):
            if after < record.id <= last:
                after = record.id
                yield record
            if after >= last:
                return


def samples_between(folder: Path, after: int, last: int) -> Iterator[Sample]:
    """The samples after `after` up to `last`."""
    while after < last and (samples := read_samples(folder / SYSTEM, after)):
        yield from takewhile(lambda sample: sample.id <= last, samples)
        after = samples[-1].id
