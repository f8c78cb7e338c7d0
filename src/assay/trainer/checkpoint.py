"""Checkpoints that are either whole or not there, and are verified by hash before they are believed.

Written: a hidden temporary folder, every file synced, the manifest (sha256 and size of every file) last, one rename,
the parent synced; only then are older ones removed. Read: newest first, the first that verifies; a damaged one is
named. `best` and `last` are links to a checkpoint, not copies. Nothing but tensors and plain types is stored, and
nothing else is loaded (`weights_only=True`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.errors import CheckpointError, StorageError
from assay.utils.atomic import fsync_folder, read_json, write_json
from assay.utils.digest import sha256_of

__all__ = ["Checkpoint", "Checkpoints"]

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint on disk."""

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.path.name.rpartition("-")[2])

    def tensors(self, name: str, device: torch.device | str = "cpu") -> Any:
        """The content of one file, such as `model` or `training`."""
        return torch.load(self.path / f"{name}.pt", map_location=device, weights_only=True)

    def has(self, name: str) -> bool:
        return (self.path / f"{name}.pt").is_file()


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: `checkpoints/` of the run.
        keep_last: how many of the newest are kept.
        keep_best: how many of the best are kept.
        direction: `min` or `max`, of the monitored value that each is saved with.
    """

    def __init__(self, folder: Path, keep_last: int = 2, keep_best: int = 1, direction: str = "min") -> None:
        self.folder = folder
        self.keep_last = max(1, keep_last)
        self.keep_best = max(1, keep_best)
        self.direction = direction

    def save(
        self,
        step: int,
        tensors: Mapping[str, Any],
        state: Mapping[str, Any],
        value: float | None = None,
        *,
        best: bool = False,
    ) -> Path:
        """Write one checkpoint and remove those that are no longer kept.

        Raises:
            StorageError: it could not be written; the older ones are as they were.
        """
        name = f"step-{step:08d}"
        temporary = self.folder / f".tmp-{name}-{secrets.token_hex(3)}"
        try:
            self._check_space()
            temporary.mkdir(parents=True)
            files = {}
            for key, content in tensors.items():
                file = temporary / f"{key}.pt"
                with file.open("wb") as stream:
                    torch.save(content, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                files[file.name] = _facts(file)
            write_json(temporary / "state.json", dict(state), durable=True)
            files["state.json"] = _facts(temporary / "state.json")
            manifest = {"format": _FORMAT, "step": step, "value": value, "files": files}
            write_json(temporary / "manifest.json", manifest, durable=True)
            target = self.folder / name
            if target.exists():
                self._remove(target)
            temporary.rename(target)
            fsync_folder(self.folder)
            if best:
                self._link("best", name)
            self._link("last", name)
            self._retain()
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            free = shutil.disk_usage(self.folder).free if self.folder.is_dir() else 0
            raise StorageError(
                f"could not save {name} to {self.folder}: {error.strerror or error}",
                found=f"{free / 1e6:.0f} MB free",
                hint="free some space and resume; the older checkpoints are intact",
            ) from error
        return target

    def load(self, name: str) -> Checkpoint:
        """The checkpoint of that name (`best`, `last` or `step-…`); there is no falling back from a name.

        Raises:
            CheckpointError: it is not there or does not verify.
        """
        path = self.folder / name
        if not path.is_dir():
            there = ", ".join(folder.name for folder in self.all()) or "none"
            hint = (
                "no validation had a finite value to be the best; name another, such as last" if name == "best" else ""
            )
            raise CheckpointError(f"no checkpoint {name!r} in {self.folder}", hint=hint, found=there)
        fault = _fault(path)
        if fault:
            raise CheckpointError(f"checkpoint {name!r} is damaged: {fault}", where=str(path))
        return Checkpoint(path.resolve(), read_json(path / "state.json"))

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that verifies, and what is wrong with the newer ones.

        Raises:
            CheckpointError: there are some and none verifies; a run never starts from scratch on its own.
        """
        faults: list[str] = []
        for path in reversed(self.all()):
            fault = _fault(path)
            if not fault:
                return Checkpoint(path, read_json(path / "state.json")), faults
            faults.append(f"{path.name} is damaged: {fault}")
        if faults:
            raise CheckpointError(
                f"{len(faults)} checkpoints in {self.folder} and none can be used",
                found="; ".join(faults),
                hint="nothing was changed; start a new run to begin anew",
            )
        return None, []

    def relink(self, best: int, last: int) -> None:
        """Let `best` and `last` name what a restored run says: a kill can come between a save and its names."""
        for name, step in (("best", best), ("last", last)):
            if (self.folder / f"step-{step:08d}").is_dir():
                self._link(name, f"step-{step:08d}")

    def clean(self) -> None:
        """Remove what a kill in the middle of a save or of a removal left; only while the run is locked."""
        for path in (*self.folder.glob(".tmp-*"), *self.folder.glob(".trash-*")):
            shutil.rmtree(path, ignore_errors=True)
        for name in ("best", "last"):
            for path in self.folder.glob(f".{name}-*"):
                path.unlink(missing_ok=True)

    def all(self) -> list[Path]:
        """The folders of all checkpoints, oldest first; links and temporary ones are not among them."""
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir() and not path.is_symlink())

    def _check_space(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.all()[-1:]:
            needed = int(1.2 * sum(file.stat().st_size for file in path.iterdir()))
            free = shutil.disk_usage(self.folder).free
            if free < needed:
                raise OSError(28, f"{free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB needed")

    def _retain(self) -> None:
        every = self.all()
        values = {}
        for path in every:
            manifest = _manifest(path)
            if manifest and manifest.get("value") is not None:
                values[path] = float(manifest["value"])
        ranked = sorted(values, key=lambda path: values[path], reverse=self.direction == "max")
        kept = {*every[-self.keep_last :], *ranked[: self.keep_best]}
        kept |= {(self.folder / name).resolve() for name in ("best", "last")}
        for path in every:
            if path not in kept and path.resolve() not in kept:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        # First out of sight in one move: a kill in the middle of deleting must not leave half a checkpoint.
        trash = self.folder / f".trash-{path.name}-{secrets.token_hex(3)}"
        path.rename(trash)
        shutil.rmtree(trash)

    def _link(self, name: str, target: str) -> None:
        temporary = self.folder / f".{name}-{secrets.token_hex(3)}"
        temporary.symlink_to(target)
        temporary.replace(self.folder / name)


def _facts(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = read_json(path / "manifest.json")
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _fault(path: Path) -> str:
    """What is wrong with a checkpoint, or an empty string."""
    manifest = _manifest(path)
    if manifest is None:
        return "manifest.json is missing or cannot be read"
    if manifest.get("format") != _FORMAT:
        return f"it has format {manifest.get('format')}, and this version reads {_FORMAT}"
    for name, expected in manifest["files"].items():
        file = path / name
        try:
            if not file.is_file() or _facts(file) != expected:
                return f"{name} is missing or its sha256 differs"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""
