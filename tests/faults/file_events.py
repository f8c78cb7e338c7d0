"""Everything that is asked of the file system while something runs: listed, refused, or the last thing that happens."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

__all__ = ["CHANGING", "calls", "count_to", "die_at", "killed_at", "leftovers", "recorded", "refusing"]

# What changes a disk; `open` where it makes a file.
CHANGING = ("open", "write", "fsync", "mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "truncate")
_AUDITED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate", "shutil.rmtree"}


@contextmanager
def calls(watch: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """`watch` is told of every call before it is made, and may raise in its place."""
    with _patched({name: getattr(os, name) for name in CHANGING}, watch):
        yield


@contextmanager
def _patched(functions: dict[str, Any], watch: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if name != "open" or (len(args) > 1 and args[1] & os.O_CREAT):
                watch(name, args)
            return functions[name](*args, **named)

        return call

    with patch.multiple(os, **{name: wrapped(name) for name in functions}):
        yield


def recorded(action: Callable[[], object]) -> list[tuple[str, str]]:
    """Every call of `action`, in order: its name and the path that it is about (of a descriptor the file's)."""
    found: list[tuple[str, str]] = []

    def watch(name: str, args: tuple[Any, ...]) -> None:
        about = (
            os.readlink(f"/proc/self/fd/{args[0]}")
            if isinstance(args[0], int)
            else str(args[-1] if name == "symlink" else args[0])
        )
        found.append((name, about))

    with calls(watch):
        action()
    return found


@contextmanager
def refusing(number: int, code: int = errno.ENOSPC, *, onwards: bool = False) -> Iterator[list[str]]:
    """The call of this number (from 0) fails with `code`; `onwards`: and every later one that takes room.

    Gives a list with the names of those that failed.
    """
    count = -1
    failed: list[str] = []

    def watch(name: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        if count == number or (onwards and count > number and name in ("open", "write", "mkdir", "symlink")):
            failed.append(name)
            raise OSError(code, os.strerror(code))

    with calls(watch):
        yield failed


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Fork, run `action` there, and kill it just before its event of this number; whether it came so far.

    Events are all that Python's audit hooks tell of files, and writes and syncs besides.
    """
    child = os.fork()
    if not child:
        try:
            die_at(number)
            action()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the action failed"
    return False


def die_at(number: int) -> None:
    """From now on SIGKILL comes just before the event of this number (from 0) of this process."""
    left = number

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _at_every_event(step)


def count_to(path: Path) -> None:
    """From now on every event makes a file longer by a byte."""
    descriptor, write = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write
    _at_every_event(lambda: write(descriptor, b"."))


def _at_every_event(step: Callable[[], object]) -> None:
    """A hook cannot be taken away again: in a fork only."""
    sys.addaudithook(lambda event, args: step() if event in _AUDITED else None)
    for name in ("write", "fsync"):
        real = getattr(os, name)
        setattr(os, name, lambda *args, real=real: (step(), real(*args))[1])


def leftovers(folder: Path) -> list[str]:
    """What is hidden in a folder: of a save that did not come to its end."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
