"""Files that are either wholly there or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from assay.errors import StorageError

__all__ = ["as_json", "fsync_folder", "read_json", "remove_unfinished", "storing", "write_bytes", "write_json"]

_UNFINISHED = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{6}\.tmp")


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """
    Raises:
        StorageError: what is done inside met a disk that refuses; `path` is the file that it is told of.
    """
    try:
        yield
    except OSError as error:
        raise StorageError.writing(path, error) from error


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is not, before this)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace `path` by `content` in one move; with `durable`, also after a loss of power."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what a kill in the middle of `write_bytes` left in a folder that nobody else writes to now."""
    for path in folder.glob(".*.tmp"):
        if _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write `value` as `as_json` gives it."""
    write_bytes(path, as_json(value), durable=durable)


def as_json(value: Any) -> bytes:
    """Indented; NumPy numbers are allowed, NaN becomes null."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, option=options)


def read_json(path: Path) -> Any:
    return orjson.loads(path.read_bytes())
