"""Checkpoints: written in one way, read in one way, and believed only after every file was held against its sum."""

from __future__ import annotations

from assay.trainer.checkpoint.folder import Checkpoints
from assay.trainer.checkpoint.reading import Checkpoint

__all__ = ["Checkpoint", "Checkpoints"]
