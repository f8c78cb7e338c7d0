"""A signal asks; the loop answers at the next step, and at once where it only waits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from assay.errors import Interrupted

__all__ = ["Signals", "Stopped", "named"]

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

Batch = TypeVar("Batch")


class Stopped(KeyboardInterrupt):
    """Raised by a signal where nothing has to be finished first. No `except Exception` of a component bears it."""


class Signals:
    """While entered, SIGINT, SIGTERM, SIGUSR1 and SIGHUP set `received`; a second one ends the process at once.

    A SIGHUP is never one of the two: a terminal that closes sends it several times, and a service manager sends it
    after its SIGTERM. Where it was ignored before (`nohup`), it is ignored still.

    Saving inside a handler can find the state half changed, so the handler does no more than set the flag; where
    `interruptible` holds (before the first step, while a batch is waited for, while loggers are) it raises `Stopped`.
    Left by it, this raises `Interrupted`.

    A handler of Python runs between two of its instructions, so a second signal would wait for the end of an operation
    of torch; a thread that the system's own handler wakes does not.
    """

    def __init__(self, interruptible: bool = False) -> None:
        self.received = 0
        self.interruptible = interruptible
        self.last_words: Callable[[], str] = lambda: "nothing was trained yet"
        """Says what is kept, when a second signal ends the process."""
        self._insisting = 0
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> Signals:
        # Python lets only the main thread set handlers; elsewhere the host program keeps its own.
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._handle)
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._woken = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, args=(self._pipe[0],), daemon=True)
            self._watcher.start()
            _entered.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            _entered.discard(self)
            signal.set_wakeup_fd(self._woken)
            os.write(self._pipe[1], b"\0")  # not the end of the pipe: a forked process may hold it open
            self._watcher.join()
            for descriptor in self._pipe:
                os.close(descriptor)
            self._pipe = None
        if isinstance(error, Stopped):
            raise Interrupted.by(self.received, f"stopped by {named(self.received)} before the first step") from None

    def fetched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches. A signal that comes while one is waited for, or came before, raises `Stopped`: between two
        batches nothing is half changed.
        """
        iterator = iter(batches)
        while True:
            self.interruptible = True
            try:
                if self.received:
                    raise Stopped
                batch = next(iterator)
            except StopIteration:
                return
            finally:
                self.interruptible = False
            yield batch

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_second(number):
            self._end(number)
        if self.received:
            return
        self.received = number
        when = "" if self.interruptible else " after this step"
        # The terminal may be gone; RuntimeError: the signal came while the same stream was being written to.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            print(f"\nstopping{when} (again to stop now)", file=sys.stderr, flush=True)
        if self.interruptible:
            self.interruptible = False
            raise Stopped

    def _is_second(self, number: int) -> bool:
        """Count a signal; whether it insists."""
        self._insisting += number != signal.SIGHUP
        return number != signal.SIGHUP and self._insisting > 1

    def _watch(self, pipe: int) -> None:
        count = 0
        while True:
            for number in os.read(pipe, 64):
                count += number in HANDLED and number != signal.SIGHUP
                if count > 1:
                    self._end(number)
                if not number:
                    return

    def _end(self, number: int) -> None:
        try:
            # Past sys.stderr, whose lock the interrupted code may hold; a progress bar has hidden the cursor.
            shown = "\x1b[?25h" if os.isatty(2) else ""
            os.write(2, f"{shown}\nstopped at once by a second signal; {self.last_words()}\n".encode())
        finally:
            os._exit(128 + number)


def named(number: int) -> str:
    """A signal in words for the one who sent it."""
    return "Ctrl-C" if number == signal.SIGINT else f"signal {number} ({signal.Signals(number).name})"


_entered: set[Signals] = set()


def _let_go() -> None:
    """A forked process, such as a loader's worker, must not wake the thread of its parent."""
    if _entered:
        _entered.clear()
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_let_go)
