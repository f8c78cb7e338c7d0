"""What several processes write of one checkpoint: each the rows of the tensors that it holds, in files of its own.

In `model.pt` (`ema.pt`, `training.pt`) such a tensor is a note of its shape and of how many rows every process has; the
rows are in `model-0-of-2.pt`, `model-1-of-2.pt` under the name that the note tells. All are in the manifest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.utils.sharded import is_sharded, own_part

__all__ = ["Join", "Spread", "part_name", "put_together", "taken_apart"]

# The key that marks what stands for another type, as in `trainer.plain`.
_KIND = "assay:kind"


def part_name(name: str, rank: int, size: int) -> str:
    """The file with the rows of one process."""
    return f"{name}-{rank}-of-{size}.pt"


def taken_apart(held: Any) -> tuple[Any, dict[str, Tensor]]:
    """The same with notes in the place of tensors that are spread, and this process's rows of them by name.

    All processes call it with the same structure: what is neither whole nor in rows is gathered here.
    """
    rows: dict[str, Tensor] = {}

    def look(value: Any, path: str) -> Any:
        if is_sharded(value):
            return _noted(value, path, rows)
        if isinstance(value, dict):
            changed = {key: look(item, f"{path}/{key}") for key, item in value.items()}
            if all(changed[key] is item for key, item in value.items()):
                return value
            copied = copy.copy(value)  # with what torch keeps beside the items
            copied.update(changed)
            return copied
        if type(value) in (list, tuple):
            items = [look(item, f"{path}/{number}") for number, item in enumerate(value)]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
        return value

    return look(held, ""), rows


def _noted(tensor: Any, path: str, rows: dict[str, Tensor]) -> dict[str, Any]:
    from torch.distributed.tensor import Shard

    if tuple(tensor.placements) != (Shard(0),):
        return {_KIND: "spread", "whole": tensor.detach().full_tensor()}
    name = path
    while name in rows:  # keys with a slash
        name += "'"
    rows[name] = own_part(tensor)
    return {_KIND: "spread", "name": name, "shape": list(tensor.shape)}


@dataclass(frozen=True)
class Spread:
    """A tensor of a checkpoint that several processes have written.

    Args:
        parts: the rows of each, in order.
        in_rows: whether each had some; else every process had all of it.
    """

    parts: Sequence[Tensor]
    shape: torch.Size
    in_rows: bool = True

    def rows(self, first: int, last: int) -> Tensor:
        """Rows `first` to `last` (without it), copied; of a file that is mapped nothing else is read."""
        found, start = [], 0
        for part in self.parts:
            end = start + len(part)
            if start < last and first < end:
                found.append(part[max(first - start, 0) : last - start])
            start = end
        return torch.cat(found) if found else self.parts[0][:0].clone()

    def whole(self) -> Tensor:
        return torch.cat(list(self.parts)) if self.in_rows else self.parts[0]


Join = Callable[[Spread], Tensor]


def put_together(held: Any, files: Sequence[Mapping[str, Tensor]], join: Join | None = None) -> Any:
    """What was taken apart.

    Args:
        files: the rows of every process.
        join: what is made of each tensor; default: the whole one.

    Raises:
        ValueError: the rows are not those of the note.
        LookupError: they are not there.
    """

    def look(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get(_KIND) == "spread":
                spread = _found(value, files)
                return join(spread) if join else spread.whole()
            for key, item in value.items():  # in place: torch's own state_dict has its version beside its items
                if isinstance(item, dict | list | tuple):
                    value[key] = look(item)
            return value
        return type(value)(map(look, value)) if type(value) in (list, tuple) else value

    return look(held)


def _found(note: Mapping[str, Any], files: Sequence[Mapping[str, Tensor]]) -> Spread:
    if "whole" in note:
        return Spread([note["whole"]], note["whole"].shape, in_rows=False)
    parts, shape = [file[note["name"]] for file in files], torch.Size(note["shape"])
    rows = sum(len(part) for part in parts)
    if rows != shape[0] or any(part.shape[1:] != shape[1:] or part.dtype != parts[0].dtype for part in parts):
        raise ValueError(f"{note['name']} has {rows} rows of {list(parts[0].shape[1:])}, expected {list(shape)}")
    return Spread(parts, shape)
