"""The contract of a dataset, and what one says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

__all__ = ["SPLITS", "BaseDataset", "DatasetInfo"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """What a model and a reader need to know of a dataset.

    Args:
        shape: of one input, (C, H, W) for images; of the first where they differ.
        classes: how many there are; None where the target is no class.
        class_names: in the order of their numbers, or empty.
        mean: per channel of the training inputs on the scale [0, 1], or empty.
        std: likewise.
        source: where it comes from, a paper or an address.
        licence: its name, or empty where none is stated.
        sha256: of the contents, or empty where it is not known.
    """

    shape: tuple[int, ...]
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    source: str = ""
    licence: str = ""
    sha256: str = ""

    @property
    def in_channels(self) -> int | None:
        """The channels of (C, H, W) inputs; None for inputs of another kind."""
        return self.shape[0] if len(self.shape) == 3 else None


class BaseDataset(Dataset[tuple[Any, Any]], ABC):
    """One split of a dataset: sample `i` is (input, target), always the same, with nothing random in it.

    A subclass takes `split` and arguments of its own. Randomness belongs to transforms, which the
    configuration gives per split. Optionally, `__getitems__(indices)` returns a *tuple* (inputs, targets) of
    stacked tensors for an array of indices (B,): whole batches are many times faster than samples one by one.
    """

    def __init__(self, split: str = "train") -> None:
        if split not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {split!r}")
        self.split = split

    @classmethod
    def splits(cls, **args: Any) -> tuple[str, ...]:
        """The splits that there are with these arguments, `train` among them."""
        return ("train", "test")

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...

    @abstractmethod
    def describe(self) -> DatasetInfo: ...
