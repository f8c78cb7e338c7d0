"""Several requests at a time, by threads that do not keep a process alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["in_parallel"]

Item = TypeVar("Item")


def in_parallel(work: Callable[[Item], object], items: Iterable[Item], workers: int) -> None:
    """Call `work` on every item. After an error what has begun is finished, and nothing else is begun.

    Raises:
        BaseException: the first that `work` raised.
    """
    waiting: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        waiting.put(item)
    errors: list[BaseException] = []

    def serve() -> None:
        while not errors:
            try:
                item = waiting.get_nowait()
            except Empty:
                return
            try:
                work(item)
            except BaseException as error:
                errors.append(error)

    # A pool of the standard library would be waited for at the end of the process, a silent server with it.
    threads = [Thread(target=serve, daemon=True) for _ in range(min(workers, waiting.qsize()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
