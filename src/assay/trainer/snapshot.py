"""Everything of a trainer that has a state, out and in again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from assay.errors import CheckpointError, ConfigError, Problem
from assay.model.states import load_module
from assay.schedulers.plain import NotPlain, plain_state
from assay.trainer.attributes import Attributes
from assay.trainer.each import OF_EACH, of_each, with_parts
from assay.trainer.optimizer import load_named_state, named_state
from assay.trainer.plain import module_state
from assay.trainer.state import Progress
from assay.trainer.walk import parts_with_state, walk

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["restore", "take"]


def take(trainer: BaseTrainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors by file (`model`, `ema`, `training`), and the plain state; all loads with `weights_only=True`.

    Raises:
        ConfigError: something has a state that is neither tensors nor plain types.
    """
    if trainer.followed is None:
        trainer.followed = Attributes(trainer)
    try:
        return _taken(trainer, trainer.followed)
    except NotPlain as error:
        problem = Problem(
            "a checkpoint cannot hold the state of the run",
            found=error.found,
            expected="tensors, arrays, numbers, texts, generators, and lists, tuples, sets, deques and dicts of them",
            hint="keep it as one of these, or give the object a state_dict and a load_state_dict",
        )
        raise ConfigError.of(problem) from error


def _taken(trainer: BaseTrainer, followed: Attributes) -> tuple[dict[str, Any], dict[str, Any]]:
    tensors: dict[str, Any] = {"model": module_state(trainer.model, "model")}
    found = walk(trainer)
    attributes, trainer.not_held = followed.take(trainer, found)
    parameters = _parameters(trainer, found.parts)
    training: dict[str, Any] = {
        "optimizer": named_state(trainer.optimizer, trainer.model),
        "schedulers": trainer.schedulers.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "loss": module_state(trainer.loss, "loss"),
        "metrics": {phase: sums.state_dict() for phase, sums in trainer.metrics.items() if phase in ("train", "batch")},
        "own": {name: _state_of(part, trainer, name) for name, part in found.parts.items()},
        "attributes": attributes,
        "trains": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "generator": torch.get_rng_state(),
        # Not in state.json: JSON has no NaN, and a monitored value may be one.
        "progress": trainer.progress.state_dict(),
        "monitor": trainer.monitor.state_dict(),
    }
    if trainer.has_own_update and trainer.strategy.size == 1:
        # It may go on with them in the next one.
        training["gradients"] = {name: p.grad.detach() for name, p in parameters.items() if p.grad is not None}
    if trainer.device.type == "cuda":
        training["device_generator"] = torch.cuda.get_rng_state(trainer.device)
    if trainer.average is not None:
        tensors["ema"] = module_state(trainer.average.module, "average")
        training["averaged"] = trainer.average.n_averaged
    tensors["training"] = training
    kind, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python_generator": random.getstate(),
        "numpy_generator": [kind, np.asarray(key).tolist(), position, has_gauss, gauss],
        "threads": torch.get_num_threads(),
    }
    if trainer.strategy.size > 1:
        training["ranks"] = of_each(trainer, tensors, state, training)
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
            hint="check what was changed in the configuration and the code since; and what a step adds to the model, "
            "the optimizer or the trainer, which a resume needs from the constructor on",
        ) from error


def _restore(trainer: BaseTrainer, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    if trainer.followed is None:
        trainer.followed = Attributes(trainer)
    rank, size = trainer.strategy.rank, trainer.strategy.size
    ranks = tensors["training"].get("ranks")
    ranks = ranks or [{**state, **{name: tensors["training"][name] for name in OF_EACH}}]
    state = ranks[rank % len(ranks)]
    model, training = with_parts(tensors, state)
    load_module(trainer.model, model)
    # The schedulers build torch's own on the optimizer, which changes its rates: the optimizer's state comes after.
    trainer.schedulers.load_state_dict(training["schedulers"])
    load_named_state(trainer.optimizer, trainer.model, training["optimizer"])
    trainer.scaler.load_state_dict(training["scaler"]) if training["scaler"] else None
    load_module(trainer.loss, training["loss"])
    for phase in {"train": None, **training["metrics"]}:
        if phase in trainer.metrics:
            trainer.metrics[phase].load_part([held["metrics"][phase] for held in ranks], rank, size)
    own = parts_with_state(trainer)
    if other := own.keys() ^ training["own"].keys():  # one that is made in a step is not there yet
        raise ValueError(
            f"the trainer's own {', '.join(sorted(other))}: only in the checkpoint, or only in the trainer"
        )
    for name, held in training["own"].items():
        _give_back(own[name], held, trainer)
    if trainer.average is not None and "ema" in tensors:
        load_module(trainer.average.module, tensors["ema"])
        trainer.average.n_averaged.copy_(training["averaged"])
    trainer.progress = Progress.restored(training["progress"])
    if trainer.progress.batch > len(trainer.parts.train_data):
        batches = len(trainer.parts.train_data)
        raise ValueError(f"it stands behind batch {trainer.progress.batch} of an epoch of {batches}")
    trainer.monitor.load_state_dict(training["monitor"])
    for name, parameter in _parameters(trainer, own).items():  # layers may thaw and freeze as the training goes on
        parameter.requires_grad_(training["trains"][name])
        parameter.grad = training.get("gradients", {}).get(name)
    trainer.followed.restore(trainer, state["attributes"])
    # The generators last: what is called above may draw.
    torch.set_rng_state(state["generator"].cpu())
    if "device_generator" in training and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(training["device_generator"].cpu(), trainer.device)
    version, key, gauss = state["python_generator"]
    random.setstate((version, tuple(key), gauss))
    kind, numbers, position, has_gauss, cached = state["numpy_generator"]
    np.random.set_state((kind, np.array(numbers, dtype=np.uint32), position, has_gauss, cached))


def _parameters(trainer: BaseTrainer, parts: dict[str, Any]) -> dict[str, nn.Parameter]:
    """Of the model by their names; of the loss and of a trainer's own parts with a name before that."""
    found = dict(trainer.model.named_parameters())
    for owner, part in {"loss": trainer.loss, **parts}.items():
        if isinstance(part, nn.Module):
            found |= {f"{owner} {name}": parameter for name, parameter in part.named_parameters()}
    return found


def _state_of(part: Any, trainer: BaseTrainer, name: str) -> Any:
    if isinstance(part, torch.optim.Optimizer):
        return named_state(part, trainer.model)
    if isinstance(part, LRScheduler):
        return plain_state(part.state_dict())
    return module_state(part, f"trainer.{name}")


def _give_back(part: Any, held: Any, trainer: BaseTrainer) -> None:
    if isinstance(part, torch.optim.Optimizer):
        load_named_state(part, trainer.model, held)
    elif isinstance(part, nn.Module):
        load_module(part, held)
    else:
        part.load_state_dict(held)
