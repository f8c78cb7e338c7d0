"""Everything of a trainer that has a state, out and in again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from assay.errors import CheckpointError
from assay.trainer.optimizer import load_named_state, named_state
from assay.trainer.state import Progress

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["restore", "take"]

# What BaseTrainer keeps and saves by name; any other attribute with a state is a subclass's own.
_KNOWN = {"model", "optimizer", "loss", "schedulers", "scaler", "average", "monitor", "progress", "metrics", "parts"}


def take(trainer: BaseTrainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors by file (`model`, `ema`, `training`), and the plain state; all loads with `weights_only=True`."""
    tensors: dict[str, Any] = {"model": trainer.model.state_dict()}
    training: dict[str, Any] = {
        "optimizer": named_state(trainer.optimizer, trainer.model),
        "schedulers": trainer.schedulers.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "loss": trainer.loss.state_dict(),
        "metrics": {phase: sums.state_dict() for phase, sums in trainer.metrics.items() if phase in ("train", "batch")},
        "own": {name: part.state_dict() for name, part in _own(trainer).items()},
        "generator": torch.get_rng_state(),
        # Not in state.json: JSON has no NaN, and a monitored value may be one.
        "progress": trainer.progress.state_dict(),
        "monitor": trainer.monitor.state_dict(),
    }
    if trainer.average is not None:
        tensors["ema"] = trainer.average.module.state_dict()
        training["averaged"] = trainer.average.n_averaged
    tensors["training"] = training
    kind, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python_generator": random.getstate(),
        "numpy_generator": [kind, np.asarray(key).tolist(), position, has_gauss, gauss],
        "threads": torch.get_num_threads(),
    }
    return tensors, state


def restore(trainer: BaseTrainer, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    """Put a trainer where `take` found it.

    Raises:
        CheckpointError: the checkpoint holds other than this trainer's state; the trainer is of no more use then.
    """
    try:
        _restore(trainer, tensors, state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise CheckpointError(
            "the checkpoint does not fit this run",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
            expected=f"the state of {type(trainer.model).__name__} and what trains it",
            hint="check what was changed in the configuration and the code since",
        ) from error


def _restore(trainer: BaseTrainer, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    trainer.model.load_state_dict(tensors["model"])
    training = tensors["training"]
    # The schedulers build torch's own on the optimizer, which changes its rates: the optimizer's state comes after.
    trainer.schedulers.load_state_dict(training["schedulers"])
    load_named_state(trainer.optimizer, trainer.model, training["optimizer"])
    trainer.scaler.load_state_dict(training["scaler"]) if training["scaler"] else None
    trainer.loss.load_state_dict(training["loss"])
    for phase, held in {"train": training["metrics"]["train"], **training["metrics"]}.items():
        if phase in trainer.metrics:
            trainer.metrics[phase].load_state_dict(held)
    own = _own(trainer)
    if other := own.keys() ^ training["own"].keys():  # one that is made in a step is not there yet
        raise ValueError(
            f"the trainer's own {', '.join(sorted(other))}: only in the checkpoint, or only in the trainer"
        )
    for name, held in training["own"].items():
        own[name].load_state_dict(held)
    if trainer.average is not None and "ema" in tensors:
        trainer.average.module.load_state_dict(tensors["ema"])
        trainer.average.n_averaged.copy_(training["averaged"])
    torch.set_rng_state(training["generator"].cpu())
    trainer.progress = Progress.restored(training["progress"])
    if trainer.progress.batch > len(trainer.parts.train_data):
        batches = len(trainer.parts.train_data)
        raise ValueError(f"it stands behind batch {trainer.progress.batch} of an epoch of {batches}")
    trainer.monitor.load_state_dict(training["monitor"])
    version, key, gauss = state["python_generator"]
    random.setstate((version, tuple(key), gauss))
    kind, numbers, position, has_gauss, cached = state["numpy_generator"]
    np.random.set_state((kind, np.array(numbers, dtype=np.uint32), position, has_gauss, cached))


def _own(trainer: BaseTrainer) -> dict[str, Any]:
    return {
        name: part
        for name, part in vars(trainer).items()
        if name not in _KNOWN and hasattr(part, "state_dict") and hasattr(part, "load_state_dict")
    }
