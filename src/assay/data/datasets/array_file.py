"""Arrays of one's own in a NumPy file: the way in for data that no package knows."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import SPLITS, DatasetInfo
from assay.errors import DataError

__all__ = ["ArrayFile"]

# The names of inputs and targets: as this class prefers them, as MedMNIST has them, as Keras has them.
_SPELLINGS = {
    "train": (
        ("train_inputs", "train_targets"),
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("inputs", "targets"),
        ("images", "labels"),
        ("x", "y"),
    ),
    "validation": (
        ("validation_inputs", "validation_targets"),
        ("val_images", "val_labels"),
        ("x_validation", "y_validation"),
        ("x_val", "y_val"),
    ),
    "test": (("test_inputs", "test_targets"), ("test_images", "test_labels"), ("x_test", "y_test")),
}


class ArrayFile(ArrayDataset):
    """A `.npz` file with arrays of inputs and targets per split, as `numpy.savez_compressed` writes it.

    The arrays are named `train_inputs` and `train_targets`, `validation_…` and `test_…` if there are any. The
    names of MedMNIST's files (`train_images`, `val_labels`) and of Keras' (`x_train`) do as well. uint8
    images (N, H, W) and (N, H, W, C) become (N, C, H, W); other inputs keep their shape, floats become
    float32. Whole-numbered targets are classes.

    Args:
        path: of the file.
        split: train, validation or test.

    Raises:
        DataError: the file is missing or damaged, or has no such arrays.
    """

    def __init__(self, path: str, split: str = "train") -> None:
        self.path = Path(path)
        with _opened(self.path) as arrays:
            names = _names(arrays.files, split)
            if names is None:
                raise DataError(
                    f"{path} has no arrays for split {split!r}",
                    found=", ".join(sorted(arrays.files)) or "no arrays",
                    expected=" and ".join(_SPELLINGS[split][0]) if split in _SPELLINGS else ", ".join(SPLITS),
                )
            try:
                inputs, targets = arrays[names[0]], arrays[names[1]]
            except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
                raise DataError(f"{path} is damaged", found=f"{type(error).__name__}: {error}") from error
        if len(inputs) != len(targets):
            raise DataError(
                f"{path} has arrays of different lengths",
                found=f"{names[0]} {inputs.shape}, {names[1]} {targets.shape}",
                expected="as many targets as inputs",
            )
        super().__init__(split, torch.from_numpy(_inputs(inputs)), torch.from_numpy(_targets(targets)))

    @classmethod
    def splits(cls, path: str = "", **args: Any) -> tuple[str, ...]:
        """What the file has."""
        with _opened(Path(path)) as arrays:
            return tuple(split for split in SPLITS if _names(arrays.files, split)) or ("train",)

    def describe(self) -> DatasetInfo:
        whole = self.targets.ndim == 1 and not self.targets.is_floating_point()
        return DatasetInfo(
            shape=tuple(self.inputs.shape[1:]),
            classes=int(self.targets.max()) + 1 if whole and len(self) else None,
            source=str(self.path),
            sha256=self.sha256,
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("rb"))  # NumPy would leave a damaged file open
            arrays = np.load(stream, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} cannot be read as a .npz file",
                found=f"{type(error).__name__}: {error}",
                hint="write it by numpy.savez_compressed(path, train_inputs=..., train_targets=...)",
            ) from error
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise DataError(f"{path} is one array and not a .npz file", expected="named arrays of inputs and targets")
        yield arrays


def _names(files: list[str], split: str) -> tuple[str, str] | None:
    return next((pair for pair in _SPELLINGS.get(split, ()) if set(pair) <= set(files)), None)


def _inputs(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == np.uint8 and array.ndim == 3:
        array = array[:, None]
    elif array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (1, 3, 4):
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _targets(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]  # MedMNIST's shape
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
