"""What W&B wants of histograms and matrices, and how far its copy of a run is; nothing here needs W&B."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from assay.utils.atomic import read_json, write_json

__all__ = ["MATRIX", "State", "coarser", "digest", "matrix_rows"]

_BINS = 512  # of a histogram that W&B accepts

MATRIX = ("Actual", "Predicted", "nPredictions")
"""The columns of the table that W&B draws a confusion matrix from."""


@dataclass
class State:
    """How far W&B is, in `wandb/assay.json` of the run folder.

    Args:
        last: the last record that was handed to W&B, and `time` its time.
        status: with which it was closed, empty while it is open.
        generation: how many runs W&B has of this one, before the newest.
    """

    last: int = -1
    time: str = ""
    status: str = ""
    generation: int = 0

    @classmethod
    def load(cls, folder: Path) -> State:
        try:
            return cls(**read_json(folder / "assay.json"))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        write_json(folder / "assay.json", asdict(self))


def coarser(counts: Sequence[float], edges: Sequence[float]) -> tuple[list[float], list[float]]:
    """The histogram with neighbouring bins together where there are more than W&B takes.

    >>> coarser([1, 2, 3], [0.0, 0.5, 1.0, 1.5])
    ([1, 2, 3], [0.0, 0.5, 1.0, 1.5])
    """
    size = -(-len(counts) // _BINS)
    if size < 2:
        return list(counts), list(edges)
    borders = [*range(0, len(counts), size), len(counts)]
    return [sum(counts[low:high]) for low, high in pairwise(borders)], [edges[index] for index in borders]


def matrix_rows(values: Sequence[Sequence[float]], labels: Sequence[Any]) -> list[list[Any]]:
    """Rows of `MATRIX`; without labels the classes are counted.

    >>> matrix_rows([[3, 1], [0, 4]], ["a", "b"])
    [['a', 'a', 3], ['a', 'b', 1], ['b', 'a', 0], ['b', 'b', 4]]
    """
    names = [str(label) for label in labels] or [str(number) for number in range(len(values))]
    return [[names[i], names[j], value] for i, row in enumerate(values) for j, value in enumerate(row)]


def digest(paths: Sequence[Path]) -> str:
    """Of the names and contents of files."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            whole.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
