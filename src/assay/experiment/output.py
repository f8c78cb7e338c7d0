"""What a training prints, kept in `output.log` of the run folder as well: without control codes and passwords."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any

from rich.console import Console

from assay.utils.secrets import conceal
from assay.utils.streams import Enduring

__all__ = ["Output"]

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
# A line is kept back until its end comes, so that it stands in the file whole; but not for ever.
_LONGEST = 1 << 16


class Output:
    """Keeps what is written to sys.stdout and sys.stderr between `take` and `give_back`, line by line as it comes.

    Bytes that a library in C writes past Python are not in it. Worker processes that were forked write into the same
    file; a full disk costs lines and nothing else.

    Args:
        path: the file, to which it adds.
        console: of the progress bar, which is not kept: it writes past this, and what it says comes by `line`.
        log: is told that nothing can be printed any more.
    """

    def __init__(self, path: Path, console: Console, log: Callable[[str], None] = lambda text: None) -> None:
        self.path, self.console, self.log = path, console, log
        self._lock, self._pid = RLock(), os.getpid()
        self._begun: dict[str, str] = {}
        self._taken: dict[str, _Tee] = {}
        self._is_told = False
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._tell(error)

    def line(self, text: str) -> None:
        """A line of assay's own, which is shown elsewhere."""
        self._write(f"{text}\n")

    def take(self) -> None:
        """Stand before sys.stdout and sys.stderr; also before the handlers of `logging` that hold them already."""
        # rich asks sys.stdout for its file each time; the bar's belongs on the terminal alone.
        self._file, self.console.file = vars(self.console).get("_file"), self.console.file
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # a process without a terminal may have none
                continue
            tee = self._taken[name] = _Tee(stream, self, name)
            setattr(sys, name, tee)
            behind = getattr(stream, "rich_proxied_file", stream)
            if isinstance(behind, Enduring):
                behind.tell(self._lost)
            for handler in _handlers():
                if handler.stream in (stream, behind, getattr(behind, "stream", behind)):
                    tee.handlers.append((handler, handler.stream))
                    handler.setStream(tee)

    def give_back(self) -> None:
        """Put back what stood there before, and keep nothing any more."""
        for name, tee in self._taken.items():
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.stream)
            behind = getattr(tee.stream, "rich_proxied_file", tee.stream)
            if isinstance(behind, Enduring):
                behind.tell(None)
            for handler, stream in tee.handlers:
                if handler.stream is tee:
                    handler.setStream(stream)
        if self._taken:
            self.console.file = self._file  # type: ignore[assignment]  # None: whatever sys.stdout is then
        self._taken = {}
        with self._lock:
            begun, self._begun = self._begun, {}
        for text in begun.values():
            if text.strip():
                self.line(_visible(text))

    def close(self) -> None:
        self.give_back()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def keep(self, name: str, text: str) -> None:
        """What was written to the stream `name`."""
        if not self._taken:  # somebody holds on to what stood before sys.stdout
            return
        if self._pid != os.getpid():  # forked: the begun lines are the parent's, and its lock may have been held
            self._lock, self._pid, self._begun = RLock(), os.getpid(), {}
        with self._lock:
            begun = self._begun.get(name, "") + text
            end = begun.rfind("\n") + 1
            whole, rest = begun[:end], begun[end:]
            if "\r" in rest:  # a bar of somebody else's: what it wrote over is gone
                rest = rest.rstrip("\r").rpartition("\r")[2]
                rest += "\r" * begun.endswith("\r")
            if len(rest) > _LONGEST:
                whole, rest = begun, ""
            self._begun[name] = rest
        if whole:
            self._write("".join(f"{_visible(line)}\n" for line in whole.removesuffix("\n").split("\n")))

    def _write(self, text: str) -> None:
        if self._descriptor < 0:
            return
        content = conceal(text).encode("utf-8", "replace")
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
        except OSError as error:
            self._tell(error)

    def _lost(self, name: str, error: OSError) -> None:
        if self._pid == os.getpid():  # processes that were forked lose the same
            text = f"warning: {name} cannot be written any more ({error.strerror}); the training goes on without it"
            self.line(text)
            self.log(text)

    def _tell(self, error: OSError) -> None:
        """Once: there may be as many lines as steps."""
        if not self._is_told:
            self._is_told = True
            text = f"warning: what is printed cannot be kept in {self.path}: {error.strerror or error}"
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Tee:
    """A stream as it is, but that what is written to it is kept as well."""

    def __init__(self, stream: Any, output: Output, name: str) -> None:
        self.stream, self._output, self._name = stream, output, name
        self.handlers: list[tuple[Any, Any]] = []

    def write(self, text: str) -> Any:
        try:
            return self.stream.write(text)
        finally:  # also where the terminal has gone
            if isinstance(text, str):
                self._output.keep(self._name, text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        # Consoles of rich write to the file that this names, past us.
        if name in ("stream", "rich_proxied_file"):
            raise AttributeError(name)
        return getattr(self.stream, name)


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in known:
        for handler in list(getattr(logger, "handlers", ())):  # those that are not made yet have none
            if isinstance(handler, logging.StreamHandler):
                yield handler


def _visible(line: str) -> str:
    """A line as a terminal shows it: what stood before a carriage return is written over."""
    return _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2])
