"""Reading a checkpoint: verified first, and nothing but tensors and plain types (`weights_only=True`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from assay.errors import CheckpointError
from assay.store.manifest import STATE, DamagedError, Manifest, verified
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

    def tensors(self, name: str, device: torch.device | str = "cpu") -> Any:
        """The content of one file, such as `model` or `training`.

        Raises:
            CheckpointError: the checkpoint has no such file, or it holds other than tensors and plain types.
        """
        if not self.has(name):
            files = ", ".join(self.manifest.files)
            raise CheckpointError(f"the checkpoint holds no {name}.pt", where=str(self.path), found=files)
        return decoded(load(self.path / f"{name}.pt", device, only_zip=True))

    def has(self, name: str) -> bool:
        return f"{name}.pt" in self.manifest.files


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
