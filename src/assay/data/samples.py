"""A split's samples as batches: the dataset, its share of it, and the transforms that belong to the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import BaseDataset
from assay.data.generators import BatchSeeds, restored_generators
from assay.data.transforms.pipeline import Pipeline
from assay.errors import AssayError, DataError, few
from assay.utils.devices import is_out_of_memory

__all__ = ["BatchKey", "Samples"]


@dataclass(frozen=True, eq=False)
class BatchKey:
    """Which batch: the epoch, and the positions of its samples in the split, shape (B,).

    The epoch travels with the work item, so that no worker can have another one in mind.
    """

    epoch: int
    positions: NDArray[np.int64]


class Samples(Dataset[Any]):
    """One split: batches are a function of (seed, stream, epoch, index in the dataset) alone.

    Args:
        dataset: any with __len__ and __getitem__.
        indices: of the dataset's samples that belong to this split, shape (n,); None is all of them.
        pipeline: the transforms of this split.
        seed: of the run.
        stream: the name of the split; it keeps the splits' random numbers apart.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        indices: NDArray[np.int64] | None = None,
        pipeline: Pipeline | None = None,
        seed: int = 0,
        stream: str = "train",
    ) -> None:
        self.dataset = dataset
        self.indices = np.arange(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
        self.pipeline = pipeline or Pipeline()
        self.seed = seed
        self.stream = stream
        self._getitems = callable(getattr(dataset, "__getitems__", None))
        # Known to draw no random numbers, so that nothing has to be seeded.
        self._is_plain = getattr(type(dataset), "__getitems__", None) is ArrayDataset.__getitems__

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Any:
        """One sample as a batch of one, as it is in epoch 0."""
        return self.fetch(BatchKey(0, np.array([position])))

    def __getitems__(self, key: Any) -> Any:
        """A batch; in a worker a DataError is *returned*: torch would flatten it to a traceback's text."""
        if get_worker_info() is None:
            return self.fetch(key)
        try:
            return self.fetch(key)
        except DataError as error:
            return error

    def fetch(self, key: BatchKey) -> Any:
        """The batch (inputs (B, ...), targets (B, ...)); of samples that are no pairs, what torch collates.

        Raises:
            DataError: a sample cannot be read, a transform fails, or the samples do not fit together.
        """
        seeds = BatchSeeds(self.seed, self.stream, key.epoch, self.indices[key.positions])
        whole = self._read_whole(seeds) if self._getitems else None
        if isinstance(whole, tuple):
            inputs, targets = self._checked(whole, len(seeds.indices))
            return self.pipeline(inputs, seeds), targets
        images: list[Any] = []
        labels: list[Any] = []
        others: list[Any] = []
        with restored_generators():
            for n, index in enumerate(seeds.indices.tolist()):
                seeds.enter(n, 0)
                sample = self._read(index) if whole is None else whole[n]
                if isinstance(sample, tuple | list) and len(sample) == 2:
                    images.append(self.pipeline.begin(sample[0], index))
                    labels.append(sample[1])
                else:
                    others.append(sample)
        if others:
            return self._collated_others([*zip(images, labels, strict=True), *others], others[0])
        return self.pipeline.finish(images, seeds), self._collated(labels, "targets")

    def read(self, positions: NDArray[np.int64]) -> list[Any]:
        """Samples as the dataset gives them, without transforms.

        Raises:
            DataError: one cannot be read.
        """
        seeds = BatchSeeds(self.seed, self.stream, 0, self.indices[positions])
        with restored_generators():
            read = []
            for n, index in enumerate(seeds.indices.tolist()):
                seeds.enter(n, 0)
                read.append(self._read(index))
        return read

    def _read(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise self._unreadable([index], error) from error

    def _read_whole(self, seeds: BatchSeeds) -> Any:
        """A tuple (inputs, targets) for the whole batch, or torch's list of samples."""
        own = isinstance(self.dataset, BaseDataset)
        indices = seeds.indices if own else seeds.indices.tolist()  # other packages expect a list
        try:
            if self._is_plain:
                return self.dataset.__getitems__(indices)  # type: ignore[attr-defined]
            with restored_generators():
                seeds.enter(0, 0)
                batch = self.dataset.__getitems__(indices)  # type: ignore[attr-defined]
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise self._unreadable(seeds.indices.tolist(), error) from error
        if isinstance(batch, tuple) or (isinstance(batch, list) and len(batch) == len(seeds.indices)):
            return batch
        raise DataError(
            f"__getitems__ of {type(self.dataset).__name__} returned no batch",
            found=f"{type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, list) else ""),
            expected=f"a tuple (inputs, targets) of tensors, or a list of {len(seeds.indices)} samples",
        )

    def _checked(self, batch: tuple[Any, ...], size: int) -> tuple[Tensor, Tensor]:
        tensors = tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in batch)
        if len(tensors) == 2 and all(isinstance(part, Tensor) and part.ndim and len(part) == size for part in tensors):
            return tensors[0], tensors[1]
        raise DataError(
            f"__getitems__ of {type(self.dataset).__name__} returned a tuple that is no batch",
            found="("
            + ", ".join(str(tuple(getattr(part, "shape", ()))) or type(part).__name__ for part in tensors)
            + ")",
            expected=f"two tensors, inputs and targets, of {size} rows each",
            hint="return a list of samples, as torch has it, or stack them",
        )

    def _collated(self, values: Sequence[Any], what: str) -> Any:
        try:
            return default_collate(list(values))
        except (TypeError, RuntimeError, KeyError) as error:
            raise DataError(
                f"the {what} of {type(self.dataset).__name__} cannot be put into a batch",
                found=f"{type(error).__name__}: {error}".splitlines()[0],
                expected="numbers, arrays, tensors, or mappings and sequences of them, of one shape",
            ) from error

    def _collated_others(self, samples: list[Any], other: Any) -> Any:
        if self.pipeline.transforms:
            raise DataError(
                f"transforms need samples (input, target), and {type(self.dataset).__name__} has others",
                found=type(other).__name__ + (f" of {len(other)}" if isinstance(other, tuple | list) else ""),
                hint="return pairs from the dataset, or leave data.transforms empty",
            )
        return self._collated(samples, "samples")

    def _unreadable(self, indices: list[int], error: Exception) -> DataError:
        samples = f"sample{'s' if len(indices) > 1 else ''} {few(indices)}"
        what = f"{samples} of {type(self.dataset).__name__} cannot be read"
        if isinstance(error, AssayError):
            return DataError(f"{what}: {error.message}", error.hint, error.where, error.found, error.expected)
        return DataError(what, where=_raised_at(error), found=f"{type(error).__name__}: {error}")


def _raised_at(error: BaseException) -> str:
    """The file and line that raised it."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
