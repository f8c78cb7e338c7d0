"""MNIST and FashionMNIST, read from the files as they are distributed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torchvision.datasets
from numpy.typing import NDArray

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo
from assay.errors import DataError

__all__ = ["MNIST", "FashionMNIST"]


class MNIST(ArrayDataset):
    """70,000 handwritten digits of 28×28 pixels: (1, 28, 28) uint8, int64. Train 60,000, test 10,000 samples.

    The files lie in `<root>/MNIST/raw`, as they are or gzipped, as torchvision keeps them.
    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
        1998.

    Args:
        split: train or test.
        root: the folder of all datasets.
        download: whether to fetch the files when they are not there.

    Raises:
        DataError: the files are missing and cannot be fetched, or are damaged.
    """

    origin: ClassVar[Any] = torchvision.datasets.MNIST
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    mean: ClassVar[tuple[float, ...]] = (0.1307,)
    std: ClassVar[tuple[float, ...]] = (0.3081,)
    source: ClassVar[str] = "https://doi.org/10.1109/5.726791"
    licence: ClassVar[str] = "CC BY-SA 3.0"

    def __init__(self, split: str = "train", root: str = "data", download: bool = True) -> None:
        folder = Path(root) / self.origin.__name__ / "raw"
        prefix = "train" if split == "train" else "t10k"
        names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        if any(_file(folder, name) is None for name in names):
            self._fetch(root, folder, names, download)
        images, labels = (_read(folder, name) for name in names)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"the files of {type(self).__name__} do not belong together",
                where=str(folder),
                found=f"images of shape {images.shape}, labels of shape {labels.shape}",
                expected="(N, H, W) and (N,)",
            )
        super().__init__(split, torch.from_numpy(images[:, None]), torch.from_numpy(labels.astype(np.int64)))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(
            shape=tuple(self.inputs.shape[1:]),
            classes=10,
            class_names=self.class_names,
            mean=self.mean,
            std=self.std,
            source=self.source,
            licence=self.licence,
            sha256=self.sha256,
        )

    def _fetch(self, root: str, folder: Path, names: tuple[str, str], download: bool) -> None:
        reason, cause = "download is off", None
        if download:
            try:
                self.origin(root, download=True)
                return
            except Exception as error:  # offline, a proxy's page, a wrong checksum, a full disk: all mean no files
                reason, cause = f"{type(error).__name__}: {error}".splitlines()[0], error
        raise DataError(
            f"the files of {type(self).__name__} are missing and were not downloaded",
            where=str(folder),
            found=reason,
            expected=" and ".join(names) + " (or each with .gz)",
            hint=f"put the four files from {self.origin.mirrors[0]} there",
        ) from cause


class FashionMNIST(MNIST):
    """70,000 pictures of clothes of 28×28 pixels: (1, 28, 28) uint8, int64. Train 60,000, test 10,000.

    The files lie in `<root>/FashionMNIST/raw`. Source: Xiao, Rasul and Vollgraf,
    https://arxiv.org/abs/1708.07747.
    """

    origin = torchvision.datasets.FashionMNIST
    class_names = tuple(torchvision.datasets.FashionMNIST.classes)
    mean = (0.2860,)
    std = (0.3530,)
    source = "https://github.com/zalandoresearch/fashion-mnist"
    licence = "MIT"


def _file(folder: Path, name: str) -> Path | None:
    """The file of that name, as it is or gzipped, in `raw` or beside it; some mirrors write a dot before
    `idx`.
    """
    for place in (folder, folder.parent):
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (place / spelling, place / f"{spelling}.gz"):
                if path.is_file():
                    return path
    return None


def _read(folder: Path, name: str) -> NDArray[np.uint8]:
    """An array in the idx format: 2 zero bytes, the type (8: uint8), dimensions, their sizes, the values."""
    path = _file(folder, name)
    if path is None:
        raise DataError(f"{name} is missing", where=str(folder))
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dimensions = content[3]
        shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
        if content[:3] != b"\x00\x00\x08":
            raise ValueError("it is no idx file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is damaged",
            found=f"{type(error).__name__}: {error}",
            expected="an idx file, as it is or gzipped",
            hint="remove it and fetch it again",
        ) from error
