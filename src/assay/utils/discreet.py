"""A text stream that shows no secrets, for processes that libraries print in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from threading import RLock
from typing import Any

from assay.utils.secrets import conceal

__all__ = ["DiscreetStream", "discreet_errors"]


@contextmanager
def discreet_errors() -> Iterator[None]:
    """Meanwhile sys.stderr shows no secrets: libraries log the addresses that they are given."""
    if sys.stderr is None:
        yield
        return
    stream = DiscreetStream(sys.stderr)
    try:
        with redirect_stderr(stream):
            yield
    finally:
        stream.flush()


class DiscreetStream:
    """Writes line by line, each of them concealed; all else is as the stream has it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._begun, self._lock = stream, "", RLock()

    def write(self, text: str) -> int:
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self._stream.write(conceal(whole) + end)
        return len(text)

    def flush(self) -> None:
        with self._lock:
            begun, self._begun = self._begun, ""
            if begun:
                self._stream.write(conceal(begun))
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)
