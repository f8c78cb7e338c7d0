"""Standard streams whose reader may go: neither a closed terminal nor a closed pipe ends what prints to it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Enduring", "endure", "enduring", "flush", "open_closed"]

# The reader is gone for good: the terminal was hung up, or the other end of the pipe is closed.
_FOR_GOOD = (errno.EIO, errno.EPIPE, errno.EBADF, errno.ENXIO)


class Enduring:
    """A stream as it is, but that what cannot be written is dropped.

    Where the reader has gone, its descriptor leads nowhere from then on: libraries in C, processes that are forked
    later and the end of Python write to it as well. On a full disk the next text may find room.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self.stream, self.name = stream, name
        self.lost: OSError | None = None
        """The first error."""
        self._tell: Callable[[str, OSError], None] | None = None

    def tell(self, by: Callable[[str, OSError], None] | None) -> None:
        """Call `by` with the name and the error as soon as something is lost, once."""
        self._tell = by
        if self.lost is not None and by is not None:
            by(self.name, self.lost)

    def write(self, text: str) -> Any:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _drop(self, error: OSError) -> None:
        first, self.lost = self.lost is None, self.lost or error
        if error.errno in _FOR_GOOD:
            _lead_nowhere(self.stream)
        if first and self._tell is not None:
            self._tell(self.name, error)


def endure() -> dict[str, Enduring]:
    """Let sys.stdout and sys.stderr be such streams, by name, where they are not yet."""
    made: dict[str, Enduring] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Enduring):
            made[name] = Enduring(stream, name)
            setattr(sys, name, made[name])
    return made


@contextlib.contextmanager
def enduring() -> Iterator[None]:
    """While inside, sys.stdout and sys.stderr are such streams."""
    made = endure()
    try:
        yield
    finally:
        for name, one in made.items():
            one.flush()
            if getattr(sys, name) is one:
                setattr(sys, name, one.stream)


def flush() -> None:
    """Before the process ends: what cannot be written then would change its exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _lead_nowhere(stream)


def open_closed() -> None:
    """Open what was closed when the process began (`2>&-`), or the next file would have its number, and whatever a
    library in C prints would be written into that.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _lead_nowhere(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # one of Python alone has no descriptor
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, descriptor)
        finally:
            os.close(nowhere)
