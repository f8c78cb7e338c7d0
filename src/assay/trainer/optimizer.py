"""The optimizer from the configuration, its parameter groups, and its state under the names of the parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.schema import Group
from assay.errors import CheckpointError, ConfigError, Problem

__all__ = ["build_optimizer", "load_named_state", "named_state"]


def build_optimizer(bound: Bound, model: nn.Module, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters; the first group whose expression matches a whole name holds it.

    Parameters that no group matches are in the first group and have the optimizer's own arguments.

    Raises:
        ConfigError: nothing is trainable, or a group matches nothing.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise ConfigError.of(Problem("the model has no parameter to train", key="model"))
    rest: list[nn.Parameter] = []
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    for name, parameter in named:
        for group, held in zip(groups, members, strict=True):
            if re.fullmatch(group.match, name):
                held.append(parameter)
                break
        else:
            rest.append(parameter)
    for number, (group, held) in enumerate(zip(groups, members, strict=True)):
        if not held:
            problem = Problem(
                f"no parameter is named like {group.match!r}",
                key=f"optimizer.groups.{number}.match",
                found=group.match,
                expected=", ".join(name for name, _ in named[:6]) + (", …" if len(named) > 6 else ""),
            )
            raise ConfigError.of(problem)
    made: list[dict[str, Any]] = [{"params": rest}] if rest else []
    made += [{"params": held, **bound.fitted(group.args)} for group, held in zip(groups, members, strict=True)]
    optimizer = bound.build(made if groups else rest)
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


def named_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """The optimizer's state_dict with parameter names in the place of positions."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    state = optimizer.state_dict()
    groups = [{**group, "params": [order[index] for index in group["params"]]} for group in state["param_groups"]]
    return {"state": {order[index]: value for index, value in state["state"].items()}, "param_groups": groups}


def load_named_state(optimizer: torch.optim.Optimizer, model: nn.Module, state: dict[str, Any]) -> None:
    """Put back what `named_state` gave.

    Raises:
        CheckpointError: the checkpoint's parameter groups are others.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    here = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
    there = [group["params"] for group in state["param_groups"]]
    if here != there:
        raise CheckpointError(
            "the optimizer of the checkpoint has other parameters",
            found=f"{sum(map(len, there))} parameters in {len(there)} groups",
            expected=f"{sum(map(len, here))} in {len(here)}",
        )
    position = {name: index for index, name in enumerate(name for group in here for name in group)}
    groups = [{**group, "params": [position[name] for name in group["params"]]} for group in state["param_groups"]]
    optimizer.load_state_dict(
        {"state": {position[name]: value for name, value in state["state"].items()}, "param_groups": groups}
    )
