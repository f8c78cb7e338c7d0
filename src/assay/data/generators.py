"""The global random generators, made functions of the sample that is being prepared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from assay.utils.seeds import derive, sample_keys

__all__ = ["BatchSeeds", "restored_generators"]


@dataclass(frozen=True, eq=False)
class BatchSeeds:
    """Where the samples of a batch stand: (seed, stream, epoch), and their indices in the dataset (B,)."""

    seed: int
    stream: str
    epoch: int
    indices: NDArray[np.int64]

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """One 64-bit key per sample, shape (B,), for transforms that draw for a whole batch at once."""
        return sample_keys(self.seed, self.stream, self.epoch, self.indices)

    def enter(self, n: int, stage: int) -> None:
        """Seed the generators of python, NumPy and torch (CPU) for the n-th sample of the batch.

        `stage` keeps apart the draws of transforms that run over the samples in separate passes.
        """
        seed = derive(self.seed, self.stream, self.epoch, int(self.indices[n]), stage)
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed costs a hundred times as much


@contextmanager
def restored_generators() -> Iterator[None]:
    """Give the generators of python, NumPy and torch (CPU) back as they were.

    Without workers samples are prepared in the process that trains, whose dropout must not depend on them.
    """
    of_python, of_numpy, of_torch = (
        random.getstate(),
        np.random.get_state(),
        torch.default_generator.get_state(),
    )
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.default_generator.set_state(of_torch)
