"""Writing a checkpoint: a hidden folder, every file synced, the manifest last, the folder synced, one rename, the
parent synced. Killed or refused by the disk anywhere, the checkpoint is whole or it is not there.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson
import torch

from assay.errors import room
from assay.store.manifest import MANIFEST, STATE, encoded
from assay.trainer.batches import tensors_of
from assay.utils.atomic import fsync_folder

__all__ = ["NoRoomError", "Parts", "publish", "size_of", "write_file"]


class NoRoomError(OSError):
    """The disk has less free than is needed; nothing was written."""


class Parts:
    """What of a checkpoint is written by others than the first process: nothing, where it is alone.

    Args:
        rest: what the first one writes, by file.
    """

    bytes = 0
    """Of all that the others and this one write beside the rest."""

    def __init__(self, rest: Mapping[str, Any]) -> None:
        self.rest = rest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Tell the others that nothing is written, if they were not told where."""

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Let every process write its part into a folder. Returns what the manifest says of the files, by name.

        Raises:
            OSError: the disk refuses one of them.
        """
        return {}

    def follow(self) -> None:
        """Write the part of a process that is not the first, where and if that one says so."""


def publish(target: Path, parts: Parts, state: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the files and the manifest under another name and give them the name `target`, which is free.

    Raises:
        NoRoomError: there is too little room.
        OSError: the disk refuses; nothing new is left.
    """
    plain = orjson.dumps(dict(state), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    needed = size_of(parts.rest) + parts.bytes + len(plain)
    if shutil.disk_usage(folder).free < needed:
        raise NoRoomError(room(folder, needed))
    temporary = folder / f".tmp-{target.name}-{secrets.token_hex(3)}"
    try:
        temporary.mkdir()
        files = parts.write(temporary)
        files |= {f"{name}.pt": write_file(temporary / f"{name}.pt", held) for name, held in parts.rest.items()}
        files[STATE] = _write(temporary / STATE, lambda sink: sink.write(plain))
        content = encoded({**facts, "files": files})
        _write(temporary / MANIFEST, lambda sink: sink.write(content))
        fsync_folder(temporary)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_folder(folder)


class _Sink:
    """A file that sums what is written to it.

    An error is kept and raised at the end: through torch's own writer it would come out as something else.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.sum, self.bytes = descriptor, hashlib.sha256(), 0
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        size = len(view)
        try:
            while self.error is None and len(view):
                written = os.write(self.descriptor, view)
                self.sum.update(view[:written])
                self.bytes += written
                view = view[written:]
        except OSError as error:
            self.error = error
        return size

    def flush(self) -> None:
        """Nothing is held back."""


def write_file(path: Path, held: Any) -> dict[str, Any]:
    """Make a file of tensors and plain types, sync it, and return what the manifest says of it."""
    return _write(path, partial(torch.save, held))


def _write(path: Path, fill: Callable[[_Sink], object]) -> dict[str, Any]:
    """Make a file, sync it, and return what the manifest says of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        sink = _Sink(descriptor)
        fill(sink)
        if sink.error is not None:
            raise sink.error
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {"bytes": sink.bytes, "sha256": sink.sum.hexdigest()}


def size_of(tensors: Any) -> int:
    """Bytes that the files will have, about: every storage once, and what is written beside it."""
    storages = {}
    count = 0
    for tensor in tensors_of(tensors):
        count += 1
        parts = (tensor._indices(), tensor._values()) if tensor.layout is torch.sparse_coo else (tensor,)
        for storage in (part.untyped_storage() for part in parts if part.layout is torch.strided):
            storages[storage.data_ptr() or id(tensor)] = storage.nbytes()
    return sum(storages.values()) + 400 * count + 4096
