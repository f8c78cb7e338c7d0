"""Weights from a file into a model: all of them or none, and no code in the file is run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from assay.errors import CheckpointError
from assay.utils.tensor_file import load

__all__ = ["load_weights"]

_NESTED = ("state_dict", "model_state_dict", "model", "net")
_DEEPEST = 4
_SHOWN = 10


def load_weights(model: nn.Module, weights: str | Path | Mapping[str, Any], source: str = "") -> None:
    """Fill `model` from a file that `torch.save` wrote: a state dict, or a checkpoint that holds one.

    It is looked for under `state_dict`, `model_state_dict`, `model` and `net`; prefixes of wrappers
    (`module.`, `_orig_mod.`) are taken off.

    Args:
        weights: the file, or what was read from one already.
        source: what to call it in errors; default: the file's path.

    Raises:
        CheckpointError: the file is missing, damaged, holds code, or holds other than this model's weights.
    """
    content = weights if isinstance(weights, Mapping) else load(Path(weights))
    source = source or ("" if isinstance(weights, Mapping) else str(weights))
    own: dict[str, Any] = model.state_dict()
    state = _without_prefixes(_state_in(content, source), own)
    for name, value in own.items():
        # Files older than torch 0.4.1 have no such counter; it is not a weight.
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    missing, unexpected = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = {
        name: (tuple(value.shape), tuple(own[name].shape))
        for name, value in state.items()
        if isinstance(value, Tensor) and isinstance(own.get(name), Tensor) and value.shape != own[name].shape
    }
    if not (missing or unexpected) and (classes := _other_classes(shapes)):
        raise CheckpointError(
            "the weights are for another number of classes",
            where=source,
            found=f"{classes[0]} classes ({', '.join(shapes)})",
            expected=f"{classes[1]} classes",
            hint="use weights that were trained on as many classes",
        )
    groups = {
        "missing": [name for name in own if name in missing],
        "unexpected": [name for name in state if name in unexpected],
        "of another shape": [f"{name} {found}, expected {expected}" for name, (found, expected) in shapes.items()],
    }
    if any(groups.values()):
        raise CheckpointError(
            "the weights are not of this model",
            where=source,
            found="; ".join(f"{len(names)} {what}: {_listed(names)}" for what, names in groups.items() if names),
            expected=f"the {len(own)} tensors of {type(model).__name__}",
            hint="check `model` in the configuration against what the weights were trained with",
        )
    try:
        model.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError("the model refuses the weights", where=source, found=str(error)) from error


def _state_in(content: Any, source: str) -> Mapping[str, Any]:
    """The state dict in what a file holds: itself, or what one of the names leads to."""
    held = content
    for _ in range(_DEEPEST):
        if not isinstance(held, Mapping):
            break
        if all(isinstance(name, str) for name in held) and any(isinstance(value, Tensor) for value in held.values()):
            return held
        held = next((held[name] for name in _NESTED if isinstance(held.get(name), Mapping)), None)
    holds = f"the keys {_listed(map(str, content))}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise CheckpointError(
        "the file holds no weights",
        where=source,
        found=holds,
        expected=f"tensors by name, or these under one of {', '.join(_NESTED)}",
    )


def _without_prefixes(state: Mapping[str, Any], own: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """The state under the model's own names; a submodule that really is called `module` keeps its name."""
    compiled = any("_orig_mod." in name for name in own)
    bare = {name: name if compiled else name.replace("_orig_mod.", "") for name in state}
    extra = "module." * max(0, _depth(bare.values()) - _depth(own))
    clean = OrderedDict((bare[name].removeprefix(extra), value) for name, value in state.items())
    # Modules read their version here and convert what an older one wrote.
    metadata = getattr(state, "_metadata", None) or getattr(own, "_metadata", None)
    if isinstance(metadata, Mapping):
        versions = {
            f"{name}.".replace("_orig_mod.", "").removeprefix(extra).rstrip("."): value
            for name, value in metadata.items()
        }
        object.__setattr__(clean, "_metadata", OrderedDict(versions))
    return clean


def _depth(names: Iterable[str]) -> int:
    """How many times `module.` stands before every name."""
    names, depth = list(names), 0
    while names and all(name.startswith("module." * (depth + 1)) for name in names):
        depth += 1
    return depth


def _other_classes(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[int, int] | None:
    """(found, expected) where nothing but the first dimension differs, each time alike: that is the head."""
    changes = {
        (found[0], expected[0]) if found and expected and found[1:] == expected[1:] else None
        for found, expected in shapes.values()
    }
    return changes.pop() if len(changes) == 1 else None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
