"""Where two runs that should be one depart from each other: what is compared, and what differs first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import torch
from torch import Tensor

from assay.store.run_folder import RunFolder
from assay.trainer.checkpoint import Checkpoint, Checkpoints

__all__ = ["Compared", "compared"]

# What a checkpoint holds, under the words of a reader.
_WORDS = {
    "model": "weights",
    "ema": "moving average",
    "generator": "generators",
    "python_generator": "generators",
    "numpy_generator": "generators",
}
# Offsets count characters, and times have more or fewer digits; a fingerprint is of the machine.
_NOT_HELD = {"journal", "fingerprint"}


@dataclass
class Compared:
    """One kind of thing in both runs.

    Args:
        name: what it is, in words.
        count: tensors, numbers or records that were held against each other.
        differing: where they differ, the first one first, with what each run has.
    """

    name: str
    count: int = 0
    differing: list[str] = field(default_factory=list)


def compared(whole: RunFolder, resumed: RunFolder) -> list[Compared]:
    """The journals but for the times, and all that the last checkpoints hold.

    Raises:
        CheckpointError: a run has no checkpoint that verifies.
    """
    found = [_journals(whole, resumed)]
    one, other = (dict(_content(Checkpoints(run.checkpoints).load("last"))) for run in (whole, resumed))
    kinds: dict[str, Compared] = {}
    for path in {**one, **other}:
        kind = path.partition(".")[0]
        name = _WORDS.get(kind, kind)
        entry = kinds.setdefault(name, Compared(name))
        entry.count += 1
        if path not in one or path not in other:
            entry.differing.append(f"{path} is in the {'resumed' if path in other else 'whole'} run only")
        elif not _same(one[path], other[path]):
            entry.differing.append(f"{path}: {_difference(one[path], other[path])}")
    return found + list(kinds.values())


def _journals(whole: RunFolder, resumed: RunFolder) -> Compared:
    one, other = _records(whole), _records(resumed)
    result = Compared("records", max(len(one), len(other)))
    for first, second in zip(one, other, strict=False):
        if first == second:
            continue
        names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
        values = first.get("values", {}), second.get("values", {})
        if names == ["values"]:
            names = [name for name in {**values[0], **values[1]} if values[0].get(name) != values[1].get(name)]
            told = ", ".join(f"{name} {values[0].get(name)} and {values[1].get(name)}" for name in names[:3])
        else:
            told = ", ".join(f"{name} {first.get(name)!r} and {second.get(name)!r}" for name in names[:3])
        result.differing.append(f"{first.get('phase')} at step {first.get('step')}: {told}")
    if len(one) != len(other):
        result.differing.append(f"{len(one)} records in the whole run, {len(other)} in the resumed one")
    return result


def _records(run: RunFolder) -> list[dict[str, Any]]:
    records = [orjson.loads(line) for line in run.journal.read_bytes().splitlines()]
    return [{name: value for name, value in record.items() if name != "time"} for record in records]


def _content(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    for name in ("model", "ema"):
        if checkpoint.has(name):
            yield from _leaves(checkpoint.tensors(name), name)
    rest = {**checkpoint.tensors("training"), **checkpoint.state}
    for name, value in rest.items():
        if name not in _NOT_HELD:
            yield from _leaves(value, name)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple | Tensor) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}.{number}")
    else:
        yield path, value


def _same(one: Any, other: Any) -> bool:
    """To the bit: a NaN equals itself."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype or one.layout != other.layout:
            return False
        if one.layout is not torch.strided:
            return torch.equal(one.to_dense(), other.to_dense())
        return torch.equal(*(part.contiguous().reshape(-1).view(torch.uint8) for part in (one, other)))
    return type(one) is type(other) and repr(one) == repr(other)


def _difference(one: Any, other: Any) -> str:
    if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape and one.numel():
        gap = (one.to_dense().double() - other.to_dense().double()).abs()
        return f"{int((gap != 0).sum()):,} of {gap.numel():,} numbers, by {gap.max().item():.1e}"
    texts = [text if len(text := repr(value)) < 60 else text[:57] + "…" for value in (one, other)]
    return f"{texts[0]} and {texts[1]}"
