"""The optimizer from the configuration, its parameter groups, and its state under the names of the parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.schema import Group
from assay.errors import CheckpointError, ConfigError, Problem
from assay.schedulers.groups import put
from assay.schedulers.sequence import Sequence as Schedulers
from assay.trainer.plain import encoded
from assay.utils.sharded import sharded_like

__all__ = ["build_optimizer", "change_arguments", "load_named_state", "named_state", "require_plain_step"]


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


def require_plain_step(optimizer: torch.optim.Optimizer) -> None:
    """
    Raises:
        ConfigError: its `step` cannot be called without arguments, as the trainer's own update does: LBFGS looks at the
            loss several times in a step.
    """
    # Of the class: a scheduler of torch's puts a function of its own in the place of the method.
    _, *parameters = inspect.signature(type(optimizer).step).parameters.values()
    must = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [part.name for part in parameters if part.default is part.empty and part.kind in must]
    if needed:
        name = type(optimizer).__name__
        problem = Problem(
            f"{name} cannot make a step without {', '.join(needed)}, and the trainer gives none",
            key="optimizer.type",
            found=name,
            expected="an optimizer whose step() needs no argument",
            hint="take another optimizer, or a trainer of your own whose `update` calls optimizer.step(closure)",
        )
        raise ConfigError.of(problem)


def named_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """The optimizer's state_dict with parameter names in the place of positions.

    Beside it: `on_host`, the parameters and names of state that lie on the CPU while the parameter does not, and
    `inner`, the states of optimizers that this one uses (SAM's, Lookahead's), which its own state_dict leaves out.
    """
    order = _order(optimizer, model)
    flat = [name for group in order for name in group]
    state = optimizer.state_dict()
    groups = [{**group, "params": names} for group, names in zip(state["param_groups"], order, strict=True)]
    named = {
        flat[key] if isinstance(key, int) else key: _held(value, f"optimizer.state.{key}")
        for key, value in state["state"].items()
    }
    on_host = [
        [name, key]
        for name, parameter in zip(flat, _parameters(optimizer), strict=True)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor) and value.device != parameter.device
    ]
    inner = {name: named_state(part, model) for name, part in _inner(optimizer).items()}
    return {**state, "state": named, "param_groups": groups, "on_host": on_host, "inner": inner}


def load_named_state(optimizer: torch.optim.Optimizer, model: nn.Module, state: dict[str, Any]) -> None:
    """Put back what `named_state` gave.

    Raises:
        CheckpointError: the checkpoint's parameter groups are others.
    """
    here = _order(optimizer, model)
    there = [group["params"] for group in state["param_groups"]]
    if here != there:
        raise CheckpointError(
            "the optimizer of the checkpoint has other parameters",
            found=f"{sum(map(len, there))} parameters in {len(there)} groups",
            expected=f"{sum(map(len, here))} in {len(here)}",
        )
    flat = [name for group in here for name in group]
    position = {name: index for index, name in enumerate(flat)}
    groups = [{**group, "params": [position[name] for name in group["params"]]} for group in state["param_groups"]]
    content = {key: value for key, value in state.items() if key not in ("on_host", "inner")}
    parameters = _parameters(optimizer)
    named = {}
    for name, held in state["state"].items():
        if name in position and isinstance(held, dict):
            held = {key: sharded_like(value, parameters[position[name]]) for key, value in held.items()}
        named[name] = held
    state = {**state, "state": named}
    content |= {"state": {position.get(key, key): held for key, held in named.items()}, "param_groups": groups}
    # torch makes new groups, and an inner optimizer would go on with the old ones.
    old_groups, old_state = optimizer.param_groups, optimizer.state
    optimizer.load_state_dict(content)
    for old, new in zip(old_groups, optimizer.param_groups, strict=True):
        if old is not new:
            old.clear()
            old.update(new)
    if old_state is not optimizer.state:
        old_state.clear()
        old_state.update(optimizer.state)
    optimizer.param_groups, optimizer.state = old_groups, old_state
    _set_exactly(optimizer, flat, state)
    for name, part in _inner(optimizer).items():
        if name in state.get("inner", {}):
            load_named_state(part, model, state["inner"][name])


def change_arguments(
    optimizer: torch.optim.Optimizer,
    schedulers: Schedulers,
    configured: Sequence[dict[str, Any]],
    changed: Sequence[tuple[str, Any, Any]],
) -> None:
    """Let arguments that have changed since the checkpoint be those of the configuration.

    Args:
        configured: the groups as the configuration makes them, without parameters.
        changed: key in the configuration, what it was, what it is.

    Raises:
        CheckpointError: schedulers make the rates from one that is not known, or from one of a group.
    """
    values: dict[str, list[Any]] = {}
    for key, before, after in changed:
        if match := re.match(r"optimizer\.(args|groups\.\d+)\.(\w+)", key):
            of_all = match[1] == "args" and isinstance(before, (int, float)) and isinstance(after, (int, float))
            values.setdefault(match[2], []).append(after / before if of_all and before else None)
    if "lr" in values and schedulers.holder:
        if values["lr"] == [None] or len(values["lr"]) > 1:
            raise CheckpointError(
                "a learning rate that schedulers work from cannot change in this way on a resume",
                found=", ".join(f"{key}: {before} -> {after}" for key, before, after in changed if key.endswith(".lr")),
                expected="two numbers for optimizer.args.lr",
                hint="start a new run from the weights",
            )
        schedulers.scale(*values.pop("lr"))
    for group, own in zip(optimizer.param_groups, configured, strict=True):
        for name in values.keys() & own.keys() & group.keys():
            put(group, name, own[name])


def _set_exactly(optimizer: torch.optim.Optimizer, flat: Sequence[str], state: dict[str, Any]) -> None:
    """Each tensor with the type that it had: torch gives those of a float64 parameter that type, and ASGD's are
    float32.
    """
    on_host = {(name, key) for name, key in state.get("on_host", ())}
    for name, parameter in zip(flat, _parameters(optimizer), strict=True):
        held, loaded = state["state"].get(name), optimizer.state.get(parameter)
        if not isinstance(held, dict) or not isinstance(loaded, dict):
            continue
        for key, value in held.items():
            if isinstance(value, torch.Tensor) and key in loaded:
                # Where a scalar lies that moves to another kind of device is for torch to say.
                device = torch.device("cpu") if (name, key) in on_host else parameter.device
                moved = value.dim() == 0 and value.device != device
                loaded[key] = loaded[key].to(value.dtype) if moved and not on_host else value.to(device)
            elif key in loaded:  # torch makes a new deque, which has no longest length
                loaded[key] = value


def _held(value: Any, path: str) -> Any:
    """Tensors as they are, also those in rows; all else in types that a checkpoint may hold."""
    if isinstance(value, dict):
        return {key: _held(item, f"{path}.{key}") for key, item in value.items()}
    return value if isinstance(value, torch.Tensor) else encoded(value, path)


def _inner(optimizer: torch.optim.Optimizer) -> dict[str, torch.optim.Optimizer]:
    """The optimizers that one uses, as attributes or in lists, tuples and dicts."""
    found: dict[str, torch.optim.Optimizer] = {}

    def look(name: str, value: Any) -> None:
        if isinstance(value, torch.optim.Optimizer):
            found[name] = value
        elif type(value) in (list, tuple):
            for number, item in enumerate(value):
                look(f"{name}.{number}", item)
        elif type(value) is dict:
            for key, item in value.items():
                look(f"{name}.{key}", item)

    for name, value in vars(optimizer).items():
        if name not in ("state", "param_groups", "defaults"):
            look(name, value)
    return found


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _order(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[list[str]]:
    """The names of the parameters by group; one that is not the model's is called by its place."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order, number = [], 0
    for group in optimizer.param_groups:
        order.append([names.get(id(p), f"#{n}") for n, p in enumerate(group["params"], number)])
        number += len(group["params"])
    return order
