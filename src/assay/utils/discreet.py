"""A text stream that shows no secrets, for processes that libraries print in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from threading import RLock
from typing import Any

from assay.utils.secrets import conceal

__all__ = ["DiscreetStream", "discreet_streams"]


@contextmanager
def discreet_streams() -> Iterator[None]:
    """Meanwhile sys.stdout and sys.stderr show no secrets: libraries print the addresses that they are given."""
    with ExitStack() as stack:
        for redirect, stream in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
            if stream is not None:
                discreet = DiscreetStream(stream)
                stack.callback(discreet.flush)
                stack.enter_context(redirect(discreet))
        yield


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
