from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from assay.store.journal import JOURNAL, Journal, cut

NAME = "own_loggers.Witness"


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("own_loggers:Witness")


def test_a_cut_during_a_delivery_starts_the_logger_again_before_it(run: Any, begin: Callable[..., Any]) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    live = begin(run)
    run.wait_until(lambda: len(run.seen("record")) == 7)
    cut(run.folder, offset, 3)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(2, loss=5.0)
    run.wait_until(lambda: run.seen("start") == [-1, 2])
    live.end("completed")
    assert run.seen("record") == [0, 1, 2, 3, 4, 5, 6, 3, 4]
    assert run.seen("loss")[-2:] == ["5.0", "5.0"]
    assert run.cursor(NAME)["id"] == 4


def test_a_cursor_written_after_a_cut_by_one_who_missed_it_does_not_hide_it(
    run: Any, deliver: Callable[..., Any]
) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    stale = (run.folder / "courier" / f"{NAME}.json").read_bytes()
    cut(run.folder, offset, 3)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(9, loss=5.0)
    (run.folder / "courier" / f"{NAME}.json").write_bytes(stale)
    deliver(run)
    assert run.seen("record")[7:] == list(range(3, 12))
    assert run.seen("start") == [-1, 2]
    assert deliver(run).sent == 0


def test_what_a_resume_measures_again_is_not_delivered_again(run: Any, deliver: Callable[..., Any]) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    cut(run.folder, offset, 3)
    assert run.left() == {NAME: 0}
    run.journal = Journal(run.folder / JOURNAL)
    run.append(6)  # 3 to 6 say the same as before, but for the time
    assert run.left() == {NAME: 6}
    assert deliver(run).sent == 2
    assert run.seen("record") == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert run.seen("start") == [-1, 6]
    cursor = run.cursor(NAME)
    assert (cursor["id"], cursor["had"], cursor["cut"]) == (8, -1, (run.folder / "journal.cut.jsonl").stat().st_size)
    assert deliver(run).sent == 0


def test_from_the_first_record_on_that_a_resume_measures_otherwise_all_is_delivered_again(
    run: Any, deliver: Callable[..., Any]
) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    cut(run.folder, offset, 3)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(2)
    run.append(1, loss=float("nan"))
    run.append(1)
    deliver(run)
    assert run.seen("record")[7:] == [5, 6]
    assert run.seen("start") == [-1, 4]


def test_a_resume_that_is_killed_in_the_middle_of_what_it_repeats_repeats_nothing_to_a_logger(
    run: Any, deliver: Callable[..., Any], begin: Callable[..., Any]
) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    for count in (2, 3, 1):
        cut(run.folder, offset, 3)
        run.journal = Journal(run.folder / JOURNAL)
        run.append(count)
        live = begin(run)
        run.wait_until(lambda count=count: run.cursor(NAME)["id"] == 2 + count)
        live.stop.set()
        live.thread.join(30)
    run.append(6)
    deliver(run)
    assert run.seen("record") == list(range(10))


def test_a_run_that_ends_before_it_has_repeated_all_takes_the_rest_back(run: Any, deliver: Callable[..., Any]) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    cut(run.folder, offset, 3)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(2)
    deliver(run)
    assert run.seen("start") == [-1, 6, 4]
    assert len(run.seen("record")) == 7
    assert run.cursor(NAME)["had"] == -1
