"""Checkpoints to save, keep and damage, and the proof that one is what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from assay.trainer.checkpoint import Checkpoint, Checkpoints

__all__ = ["content", "is_right", "save", "three_saves"]


def content(step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and state of a step, as a trainer gives them."""
    weights = {"layer.weight": torch.full((40, 9), float(step)), "layer.bias": torch.arange(9.0) * step}
    training = {"optimizer": {"state": {"layer.weight": {"momentum_buffer": torch.full((40, 9), -float(step))}}}}
    return {"model": weights, "training": training}, {"step": step, "journal": {"offset": 10 * step, "next_id": step}}


def save(folder: Path, step: int, value: float | None = None, *, best: bool = False, keep_last: int = 2) -> Path:
    tensors, state = content(step)
    return Checkpoints(folder, keep_last=keep_last).save(step, tensors, state, value, best=best, epoch=step, batch=0)


def three_saves(folder: Path) -> None:
    """On top of the first two (see `begun`): each is followed by a removal, and the second is the new best."""
    save(folder, 3, 0.5)
    save(folder, 4, 0.1, best=True)
    save(folder, 5, 0.3)


def begun(folder: Path) -> Path:
    save(folder, 1, 0.4, best=True)
    save(folder, 2, 0.6)
    return folder


def is_right(checkpoint: Checkpoint) -> bool:
    """Whether it holds what was saved at its step, to the bit."""
    tensors, state = content(checkpoint.step)
    return checkpoint.state == state and all(_same(held, checkpoint.tensors(name)) for name, held in tensors.items())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
