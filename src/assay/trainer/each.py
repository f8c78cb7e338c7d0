"""What each of several processes has of its own in a checkpoint: generators, sums, attributes, parts that differ."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assay.utils.sharded import is_sharded

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["OF_EACH", "of_each", "with_parts"]

# Of what a checkpoint has under "training".
OF_EACH = ("generator", "metrics", "attributes")
_ROWS = "assay:rows"


def of_each(
    trainer: BaseTrainer, tensors: Mapping[str, Any], state: Mapping[str, Any], training: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """By rank: the plain state, what is another for each anyway, and `parts`: those that are not the first process's
    (a queue of samples in a loss, the statistics of a network that a trainer has beside the model).
    """
    parts = _parts(trainer, tensors, training)
    sums = trainer.strategy.gather({key: _digest(part) for key, part in parts.items()})
    differing = [key for key in parts if any(held.get(key) != sums[0].get(key) for held in sums)]
    own = {key: _without_rows(parts[key]) for key in differing} if trainer.strategy.rank else {}
    return trainer.strategy.gather({**state, **{name: training[name] for name in OF_EACH}, "parts": own})


def with_parts(tensors: Mapping[str, Any], held: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states of the model and of what trains it, as the process of `held` had them."""
    model, training = dict(tensors["model"]), dict(tensors["training"])
    training["own"] = dict(training["own"])
    for key, part in held.get("parts", {}).items():
        if key == "model":
            model |= part
        elif key == "loss":
            training["loss"] = part
        else:
            name = key.removeprefix("own.")
            training["own"][name] = _with_rows(part, training["own"].get(name))
    return model, training


def _parts(trainer: BaseTrainer, tensors: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """What processes may have differently. Parameters of the model are the same for all."""
    parameters = dict(trainer.model.named_parameters(remove_duplicate=False))
    rest = {name: value for name, value in tensors["model"].items() if name not in parameters}
    return {"model": rest, "loss": training["loss"], **{f"own.{n}": part for n, part in training["own"].items()}}


def _without_rows(value: Any) -> Any:
    """The same with a word in the place of tensors of which each process holds some rows: those are saved as rows."""
    if is_sharded(value):
        return _ROWS
    if not isinstance(value, dict):
        return value
    held = copy.copy(value)  # with what torch keeps beside the items
    held.update({key: _without_rows(item) for key, item in value.items()})
    return held


def _with_rows(value: Any, first: Any) -> Any:
    """What had no rows with those of the part that all have together."""
    if isinstance(value, str) and value == _ROWS:
        return first
    if isinstance(value, dict) and isinstance(first, Mapping):
        value.update({key: _with_rows(item, first.get(key)) for key, item in value.items()})
    return value


def _digest(value: Any) -> bytes:
    total = hashlib.blake2b()
    _add(total, value)
    return total.digest()


def _add(total: Any, value: Any) -> None:
    if is_sharded(value):
        total.update(b"rows")
    elif isinstance(value, Tensor):
        held = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
        total.update(repr((held.dtype, tuple(held.shape))).encode())
        total.update(held.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        total.update(b"{")
        for key, item in value.items():
            total.update(repr(key).encode())
            _add(total, item)
    elif isinstance(value, list | tuple):
        total.update(b"[")
        for item in value:
            _add(total, item)
    else:
        total.update(repr(value).encode())
