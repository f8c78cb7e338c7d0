from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import StorageError
from assay.store.journal import CUT, JOURNAL, Journal, Record, cut
from assay.store.tail import Tail


def _append(journal: Journal, count: int, loss: float = 1.0) -> None:
    for _ in range(count):
        journal.append(phase="batch", epoch=0, step=0, samples=0, values={"loss": loss})


def _seen(records: list[Record]) -> list[tuple[int, float]]:
    return [(record.id, record.values["loss"]) for record in records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / JOURNAL


def test_records_come_as_they_are_written(path: Path) -> None:
    tail = Tail(path)
    assert tail.read() == []
    journal = Journal(path)
    _append(journal, 2)
    assert [record.id for record in tail.read()] == [0, 1]
    assert tail.read() == []
    _append(journal, 1)
    assert [record.id for record in tail.read()] == [2]


def test_a_limit_splits_what_there_is(path: Path) -> None:
    _append(Journal(path), 5)
    tail = Tail(path)
    assert [[record.id for record in tail.read(2)] for _ in range(4)] == [[0, 1], [2, 3], [4], []]


def test_a_reader_that_has_some_begins_behind_them(path: Path) -> None:
    _append(Journal(path), 5)
    assert [record.id for record in Tail(path, after=2).read(1)] == [3]


def test_a_line_is_read_when_it_is_complete(path: Path) -> None:
    _append(Journal(path), 2)
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    tail = Tail(path)
    assert [record.id for record in tail.read()] == [0]
    assert tail.read() == []
    path.write_bytes(content)
    assert [record.id for record in tail.read()] == [1]


@pytest.mark.parametrize("new", [0, 1, 2, 50], ids=lambda count: f"{count} new lines")
def test_a_cut_is_noticed_however_much_was_written_since(path: Path, new: int) -> None:
    journal = Journal(path)
    _append(journal, 3)
    offset = journal.offset
    _append(journal, 5)
    tail = Tail(path)
    assert len(tail.read()) == 8
    cut(path.parent, offset, 3)
    _append(Journal(path), new, loss=2.0)
    assert _seen(tail.read()) == [(number, 2.0) for number in range(3, 3 + new)]
    assert tail.last == 2 + new
    assert tail.read() == []


def test_a_reader_that_had_not_come_to_the_cut_reads_on(path: Path) -> None:
    journal = Journal(path)
    _append(journal, 3)
    offset = journal.offset
    _append(journal, 5)
    tail = Tail(path)
    tail.read(2)
    cut(path.parent, offset, 3)
    _append(Journal(path), 1, loss=2.0)
    assert _seen(tail.read()) == [(2, 1.0), (3, 2.0)]


def test_cuts_during_an_absence_are_noticed_too(path: Path) -> None:
    journal = Journal(path)
    _append(journal, 2)
    low = journal.offset
    _append(journal, 2)
    high = journal.offset
    _append(journal, 4)
    first = Tail(path)
    first.read()
    cut(path.parent, high, 4)
    _append(Journal(path), 4, loss=2.0)
    cut(path.parent, low, 2)
    _append(Journal(path), 6, loss=3.0)
    later = Tail(path, first.last, first.cut)
    assert _seen(later.read()) == [(number, 3.0) for number in range(2, 8)]
    assert Tail(path, later.last, later.cut).read() == []


def test_a_cut_that_the_archive_does_not_tell_of_is_noticed(path: Path) -> None:
    journal = Journal(path)
    _append(journal, 3)
    tail = Tail(path)
    tail.read()
    path.unlink()
    _append(Journal(path), 4, loss=2.0)
    assert not path.with_name(CUT).exists()
    assert _seen(tail.read()) == [(number, 2.0) for number in range(4)]


def test_a_damaged_line_is_an_error_after_what_came_before_it(path: Path) -> None:
    _append(Journal(path), 2)
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    tail = Tail(path)
    assert [record.id for record in tail.read()] == [0, 1]
    with pytest.raises(StorageError, match="damaged after record 1"):
        tail.read()
