"""Reading a checkpoint: verified first, and nothing but tensors and plain types (`weights_only=True`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from assay.errors import CheckpointError
from assay.store.manifest import STATE, DamagedError, Manifest, verified
from assay.trainer.checkpoint.parts import Join, part_name, put_together
from assay.trainer.plain import decoded
from assay.utils.tensor_file import load

__all__ = ["Checkpoint", "opened"]

_LARGEST = 1 << 26  # bytes of state.json; the states of the generators have some 15,000


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint on disk."""

    path: Path
    state: dict[str, Any]
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step

    def tensors(self, name: str, device: torch.device | str = "cpu", join: Join | None = None) -> Any:
        """The content of one file, such as `model` or `training`, with the rows that several processes wrote of it.

        Args:
            join: what is made of each tensor that is in rows; default: the whole one.

        Raises:
            CheckpointError: the checkpoint has no such file, or it holds other than tensors and plain types.
        """
        if not self.has(name):
            files = ", ".join(self.manifest.files)
            raise CheckpointError(f"the checkpoint holds no {name}.pt", where=str(self.path), found=files)
        held = load(self.path / f"{name}.pt", device, only_zip=True)
        if parts := self._parts(name):
            rows = [load(self.path / part, "cpu" if join else device, only_zip=True, mmap=True) for part in parts]
            try:
                held = put_together(held, rows, join)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                found = f"{type(error).__name__}: {error}"
                raise CheckpointError(
                    f"the parts of {name}.pt do not fit it", where=str(self.path), found=found
                ) from error
        return decoded(held)

    def has(self, name: str) -> bool:
        return f"{name}.pt" in self.manifest.files

    def _parts(self, name: str) -> list[str]:
        """The files with the rows of every process, in order."""
        sizes = [
            int(part[1]) for file in self.manifest.files if (part := re.fullmatch(rf"{name}-0-of-(\d+)\.pt", file))
        ]
        parts = [part_name(name, rank, sizes[0]) for rank in range(sizes[0])] if sizes else []
        if missing := [part for part in parts if part not in self.manifest.files]:
            raise CheckpointError(f"the checkpoint holds no {missing[0]}", where=str(self.path))
        return parts


def opened(path: Path) -> Checkpoint:
    """
    Raises:
        DamagedError: it does not verify.
        CheckpointError: a newer version wrote it, or its state is none.
    """
    manifest = verified(path)
    if STATE not in manifest.files:
        raise DamagedError(f"manifest.json names no {STATE}")
    if manifest.files[STATE]["bytes"] > _LARGEST:
        raise DamagedError(f"{STATE} has {manifest.files[STATE]['bytes']} bytes, expected at most {_LARGEST}")
    try:
        state = orjson.loads((path / STATE).read_bytes())
    except (OSError, ValueError) as error:  # also where it is nested a thousand times
        raise DamagedError(f"{STATE} cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise DamagedError(f"{STATE} holds a {type(state).__name__}, expected an object")
    return Checkpoint(path, state, manifest)
