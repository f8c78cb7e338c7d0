"""What a trainer trains with and no checkpoint can hold, found before the first step: modules that are not registered,
and iterators, which have no state that can be read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from assay.trainer.plain import GENERATORS
from assay.trainer.walk import walk

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["unsaved"]


def unsaved(trainer: BaseTrainer) -> dict[str, str]:
    """By path and name, such as `model.heads.0`: what is wrong with it and what to do, in words."""
    walked = walk(trainer)
    parts = [trainer.model, trainer.loss, *walked.parts.values()]
    known = {id(inner) for part in parts if isinstance(part, nn.Module) for inner in part.modules()}
    known |= {id(weight) for part in parts if isinstance(part, nn.Module) for weight in part.parameters()}
    found: dict[str, str] = {}
    for path, _, own in walked.holders:
        if path.startswith(("average", "metrics", "optimizer")):  # a copy of the model, and what others have written
            continue
        for name, value in own:
            for place, item in _leaves(f"{path}.{name}", value):
                kind = type(item).__name__
                if isinstance(item, nn.Module | nn.Parameter):
                    if id(item) not in known and _has_state(item):
                        use = "Module" if isinstance(item, nn.Module) else "Parameter"
                        found[place] = (
                            f"{kind} in a plain {type(value).__name__}: it is neither trained nor saved; "
                            f"use torch.nn.{use}List or torch.nn.{use}Dict"
                        )
                elif isinstance(item, Iterator) and not isinstance(item, GENERATORS):
                    found[place] = (
                        f"{kind}, an iterator: how far it is cannot be saved, and a resume begins it anew; "
                        "keep a position and count it"
                    )
    return found


def _leaves(place: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every value in nested plain containers; alone, a module is registered already."""
    if type(value) in (list, tuple, deque, set, frozenset) and depth < 4:
        for number, item in enumerate(value):
            yield from _leaves(f"{place}.{number}", item, depth + 1)
    elif isinstance(value, Mapping) and depth < 4:
        for key, item in value.items():
            yield from _leaves(f"{place}.{key}", item, depth + 1)
    else:
        yield place, value


def _has_state(part: nn.Module | nn.Parameter) -> bool:
    return isinstance(part, nn.Parameter) or next(part.parameters(), next(part.buffers(), None)) is not None
