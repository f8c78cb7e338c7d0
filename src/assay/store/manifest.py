"""What a checkpoint says of itself in `manifest.json`, and whether its files are what it says. Needs no torch.

    {"format": 2, "step": 900, "epoch": 3, "batch": 12, "samples": 57600, "monitor": "min validation/loss",
     "value": 0.41, "files": {"model.pt": {"bytes": 311042, "sha256": "9f2c…"}, …}, "sha256": "77ab…"}

The last sum is of the manifest itself without that entry, so that a change of one digit in it is found too. A folder is
`step-00000900`; where there is one of that step already the next is `step-00000900-2`: none is ever written over.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.errors import CheckpointError
from assay.utils.digest import sha256_of

__all__ = [
    "FORMAT",
    "MANIFEST",
    "STATE",
    "DamagedError",
    "Manifest",
    "checkpoints",
    "encoded",
    "place",
    "stamp",
    "verified",
]

FORMAT = 2
MANIFEST, STATE = "manifest.json", "state.json"

_NAME = re.compile(r"step-([0-9]{8,18})(?:-([0-9]{1,9}))?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LARGEST = 1 << 24  # bytes of a manifest, which has about 120 for each file
_OPTIONS = orjson.OPT_INDENT_2


class DamagedError(ValueError):
    """What is wrong with a checkpoint: the file, what was found in it and what was expected."""


@dataclass(frozen=True)
class Manifest:
    """Of a checkpoint that is whole.

    Args:
        step, epoch, batch, samples: where the run stood; `batch` counts those of the epoch that were consumed.
        value: what `monitor` was, if it was measured at this step.
        files: name -> {"bytes": …, "sha256": …}.
    """

    step: int
    epoch: int
    batch: int
    samples: int
    value: float | None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def encoded(facts: Mapping[str, Any]) -> bytes:
    """A manifest as its file holds it, with the format and its own sum."""
    body = {"format": FORMAT, **facts}
    return orjson.dumps({**body, "sha256": _sum(body)}, option=_OPTIONS)


def place(path: Path) -> tuple[int, int] | None:
    """The step that a checkpoint's name tells, and which of that step's it is (from 1); None for another name."""
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2] or 1)) if match else None


def checkpoints(folder: Path) -> list[Path]:
    """All that is named as a checkpoint, the oldest first, damaged ones too; links and temporary folders are not."""
    try:
        found = [(place(path), path) for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for _, path in sorted((at, path) for at, path in found if at)]


def verified(path: Path) -> Manifest:
    """The manifest of a checkpoint, after every file was read and found to be what was written.

    Raises:
        DamagedError: a file is missing, no file, or another than was written.
        CheckpointError: a newer version wrote it.
    """
    if not stat.S_ISDIR(_kind(path)):
        raise DamagedError(f"it is {_what(_kind(path))}, expected a folder")
    manifest = _read(path)
    at = place(path)
    if at is not None and at[0] != manifest.step:
        raise DamagedError(f"{MANIFEST} is of step {manifest.step}, expected {at[0]}")
    for name, expected in manifest.files.items():
        file = path / name
        size = _size(file)
        if size != expected["bytes"]:
            raise DamagedError(f"{name} has {size} bytes, expected {expected['bytes']}")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise DamagedError(f"{name} cannot be read: {error.strerror or error}") from error
        if found != expected["sha256"]:
            raise DamagedError(f"{name} has sha256 {found[:12]}…, expected {expected['sha256'][:12]}…")
    return manifest


def stamp(path: Path) -> tuple[Any, ...]:
    """What changes whenever a file of the folder is touched: far cheaper than to verify it again."""
    entries = []
    with os.scandir(path) as found:
        for entry in found:
            s = entry.stat(follow_symlinks=False)
            entries.append((entry.name, s.st_mode, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
    return tuple(sorted(entries))


def _read(path: Path) -> Manifest:
    file = path / MANIFEST
    size = _size(file)
    if size > _LARGEST:
        raise DamagedError(f"{MANIFEST} has {size} bytes, expected at most {_LARGEST}")
    try:
        content = file.read_bytes()
        facts = orjson.loads(content)
    except OSError as error:
        raise DamagedError(f"{MANIFEST} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DamagedError(f"{MANIFEST} is no JSON: {error}") from error
    if not isinstance(facts, dict):
        raise DamagedError(f"{MANIFEST} holds a {type(facts).__name__}, expected an object")
    expected = facts.pop("sha256", None)
    found = _sum(facts)
    number = facts.get("format")
    if type(number) is int and number > FORMAT:
        raise CheckpointError(
            f"{path.name} was written by a newer version of assay",
            where=str(path),
            found=f"format {number}" + ("" if found == expected else ", in a manifest that does not fit its own sum"),
            expected=f"format {FORMAT}",
            hint="upgrade assay; or move this checkpoint away to go on from the one before",
        )
    if found != expected:
        raise DamagedError(f"{MANIFEST} has sha256 {found[:12]}…, expected {str(expected)[:12]}…")
    if number != FORMAT:
        raise DamagedError(f"{MANIFEST} has format {number!r}, expected {FORMAT}")
    if orjson.dumps({**facts, "sha256": expected}, option=_OPTIONS) != content:
        raise DamagedError(f"{MANIFEST} is not as it was written, although it says the same")
    return _typed(facts)


def _typed(facts: Mapping[str, Any]) -> Manifest:
    """Every field is looked at before it is used: a manifest may have been made by hand."""
    for name in ("step", "epoch", "batch", "samples"):
        if type(facts.get(name)) is not int or facts[name] < 0:
            raise DamagedError(f"{MANIFEST} has {name} {facts.get(name)!r}, expected a whole number")
    value = facts.get("value")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise DamagedError(f"{MANIFEST} has value {value!r}, expected a number or null")
    files = facts.get("files")
    if not isinstance(files, dict) or not files:
        raise DamagedError(f"{MANIFEST} names no files")
    for name, held in files.items():
        if not _FILE.fullmatch(name) or name == MANIFEST:
            raise DamagedError(f"{MANIFEST} names a file {name!r}, expected a plain name")
        if not (isinstance(held, dict) and type(held.get("bytes")) is int and isinstance(held.get("sha256"), str)):
            raise DamagedError(f"{MANIFEST} has no bytes and sha256 of {name}")
    return Manifest(facts["step"], facts["epoch"], facts["batch"], facts["samples"], value, files)


def _sum(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _size(file: Path) -> int:
    """In bytes; of files only: opening a pipe would wait for ever, and a link leads out of the checkpoint."""
    try:
        facts = file.lstat()
    except OSError as error:
        raise DamagedError(f"{file.name} is missing" if isinstance(error, FileNotFoundError) else str(error)) from error
    if not stat.S_ISREG(facts.st_mode):
        raise DamagedError(f"{file.name} is {_what(facts.st_mode)}, expected a file")
    return facts.st_size


def _kind(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror or error}") from error


def _what(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(mode), "no file")
