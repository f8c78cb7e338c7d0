"""The handwritten digits that scikit-learn ships: real data without a download."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo
from assay.utils.seeds import permutation

__all__ = ["Digits"]

_TEST_SAMPLES = 360  # 20 % of 1,797


class Digits(ArrayDataset):
    """1,797 digits of 8×8 pixels in 10 classes: (1, 8, 8) float32 in [0, 1], int64. Train 1,437, test 360.

    The test split has the classes in the proportions of the whole and is the same for every seed.
    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI,
        https://doi.org/10.24432/C50P49.
    """

    def __init__(self, split: str = "train") -> None:
        from sklearn.datasets import load_digits  # seconds, which a look at the signature need not pay for

        digits = load_digits()
        images = (digits.images / 16).astype(np.float32)[:, None]
        targets = digits.target.astype(np.int64)
        rows = np.flatnonzero(_in_test(targets) == (split == "test"))
        super().__init__(split, torch.from_numpy(images[rows]), torch.from_numpy(targets[rows]))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(
            shape=(1, 8, 8),
            classes=10,
            class_names=tuple("0123456789"),
            mean=(0.305,),
            std=(0.376,),
            source="https://doi.org/10.24432/C50P49",
            licence="CC BY 4.0",
            sha256=self.sha256,
        )


def _in_test(targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which samples are the test split's, shape (N,): of each class its share, by largest remainder."""
    counts = np.bincount(targets)
    shares = counts * _TEST_SAMPLES / len(targets)
    taken = np.floor(shares).astype(int)
    taken[np.argsort(taken - shares, kind="stable")[: _TEST_SAMPLES - taken.sum()]] += 1
    mask = np.zeros(len(targets), dtype=bool)
    for digit, count in enumerate(taken.tolist()):
        members = np.flatnonzero(targets == digit)
        # Drawn here and not by scikit-learn, so that a new version of it cannot move the split.
        mask[members[permutation(len(members), "digits", "test", digit)[:count]]] = True
    return mask
