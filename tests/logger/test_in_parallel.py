from __future__ import annotations

import threading

import pytest

from assay.logger.in_parallel import in_parallel


def test_every_item_is_worked_on_once_by_as_many_threads_as_wanted() -> None:
    done: list[int] = []
    threads: set[str] = set()
    together = threading.Barrier(4, timeout=10)

    def work(item: int) -> None:
        if item < 4:
            together.wait()  # four of them are at work at the same time, or this fails
        threads.add(threading.current_thread().name)
        done.append(item)

    in_parallel(work, range(100), workers=4)
    assert sorted(done) == list(range(100))
    assert len(threads) == 4


def test_the_first_error_is_raised_and_nothing_else_is_begun() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise KeyboardInterrupt(str(item))

    with pytest.raises(KeyboardInterrupt, match="0"):
        in_parallel(work, range(100), workers=1)
    assert begun == [0]


def test_nothing_to_do_is_done_at_once() -> None:
    in_parallel(print, [], workers=2)
