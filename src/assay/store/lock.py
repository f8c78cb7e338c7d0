"""Who holds a run: a lock that the kernel frees when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from pathlib import Path

import orjson

from assay.errors import RunBusyError
from assay.utils.atomic import storing

__all__ = ["Lock", "is_held"]


class Lock:
    """An exclusive `flock` on a file that also says who holds it.

    Raises:
        RunBusyError: another process holds it (the message names it).
        StorageError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Not inherited by a program that is started, e.g. the courier; for processes that are forked see below.
        with storing(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise RunBusyError(
                f"{path.parent} is in use by {_holder(path)}", hint="wait for it, stop it, or start another run"
            ) from None
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "command": sys.argv}
        with storing(path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, orjson.dumps(holder), 0)
        _held.add(self)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            _held.discard(self)


_held: set[Lock] = set()


def _let_go() -> None:
    """A forked process, such as a loader's worker, lives on for seconds after its parent was killed: it must not keep
    the run locked. Closing its copy leaves the parent's lock as it is.
    """
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_let_go)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        holder = orjson.loads(path.read_bytes())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']} since {since}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # it may be on its way there
        return "another process"
