"""Which modules of a model are gathered at once (FSDP2's units), and copies of a model that is sharded."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

__all__ = ["shard", "units"]

# Numbers of a module that it pays to gather by itself: a message of 4 MB takes longer than it takes to begin one.
LEAST = 1 << 20
_LISTS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


def units(model: nn.Module) -> list[nn.Module]:
    """The members of lists of modules that have a million numbers or more, the inner ones first, and the model itself.

    A list calls its members, so that they can be gathered when they are called; of any other module it is not known.
    One that shares a parameter with what is outside of it (tied weights) belongs to what is around it.
    """
    chosen: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, _LISTS):
            chosen += [child for child in module.children() if not isinstance(child, (nn.ModuleList, nn.ModuleDict))]
    held = [module for module in dict.fromkeys(chosen) if _numbers(module) >= LEAST and not _is_tied(module, model)]
    depth = {id(module): name.count(".") for name, module in model.named_modules()}
    return [*sorted(held, key=lambda module: -depth[id(module)]), model]


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _is_tied(module: nn.Module, model: nn.Module) -> bool:
    own = {id(parameter) for parameter in module.parameters()}
    return _places(module, own) < _places(model, own)


def _places(module: nn.Module, parameters: set[int]) -> int:
    """How often they are in a module, by any name."""
    return sum(id(parameter) in parameters for _, parameter in module.named_parameters(remove_duplicate=False))


def shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Let every process of the mesh keep some rows of every parameter, in place; gradients are summed, not averaged.

    Numbers without a dimension are whole in each of them. The model can be copied (`copy.deepcopy`): a moving average,
    a teacher.
    """
    skeleton = _without_numbers(model)
    _shard(model, mesh)
    model.__deepcopy__ = partial(_copied, model, skeleton, mesh)  # type: ignore[assignment]
    return model


def _shard(model: nn.Module, mesh: DeviceMesh) -> None:
    whole = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for module in units(model):
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    for module in sharded_modules(model):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
        module.set_reduce_scatter_unused_params(True)  # what one process did not use another one may have


def sharded_modules(model: nn.Module) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))


def _without_numbers(model: nn.Module) -> nn.Module:
    """A copy that takes no memory, from which sharded copies are made: torch makes none."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        if parameter.ndim:
            empty = torch.empty_like(parameter, device="meta")
            memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    return copy.deepcopy(model, memo)


def _copied(model: nn.Module, skeleton: nn.Module, mesh: DeviceMesh, memo: dict[int, Any]) -> nn.Module:
    made = copy.deepcopy(skeleton)
    _shard(made, mesh)
    made.to_empty(device=next(model.parameters()).device)
    with torch.no_grad():
        _set(made.parameters(), model.parameters())
        _set(made.buffers(), model.buffers())
    for part, like in zip(made.modules(), model.modules(), strict=True):
        part.training = like.training
    made.__deepcopy__ = partial(_copied, made, skeleton, mesh)  # type: ignore[assignment]
    memo[id(model)] = made
    return made


def _set(tensors: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
        tensor.requires_grad_(value.requires_grad)
