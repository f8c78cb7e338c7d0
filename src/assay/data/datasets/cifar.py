"""CIFAR-10 and CIFAR-100, through torchvision's reader."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torchvision.datasets

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo
from assay.errors import DataError

__all__ = ["CIFAR10", "CIFAR100"]


class CIFAR10(ArrayDataset):
    """60,000 pictures of 32×32 pixels in 10 classes: (3, 32, 32) uint8, int64. Train 50,000, test 10,000.

    The files lie in `<root>/cifar-10-batches-py`, or packed in `<root>/cifar-10-python.tar.gz`.
    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Args:
        split: train or test.
        root: the folder of all datasets.
        download: whether to fetch (or unpack) the files when they are not there.

    Raises:
        DataError: the files are missing and cannot be fetched, or are damaged.
    """

    origin: ClassVar[Any] = torchvision.datasets.CIFAR10
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    def __init__(self, split: str = "train", root: str = "data", download: bool = True) -> None:
        data = self._open(root, split == "train", download)
        self.class_names = tuple(data.classes)
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2)
        super().__init__(split, images, torch.tensor(data.targets, dtype=torch.int64))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(
            shape=(3, 32, 32),
            classes=len(self.class_names),
            class_names=self.class_names,
            mean=self.mean,
            std=self.std,
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            sha256=self.sha256,
        )

    @classmethod
    def _open(cls, root: str, train: bool, download: bool) -> Any:
        with warnings.catch_warnings():
            # The files were pickled by a NumPy whose dtypes said 0 and 1; some of 2.4 want False and True.
            warnings.filterwarnings(
                "ignore",
                message=r"dtype\(\): align should be passed",
                category=np.exceptions.VisibleDeprecationWarning,
            )
            try:
                return cls.origin(root, train=train, download=False)
            except RuntimeError as error:  # torchvision's word for files that are missing or damaged
                reason = "download is off"
                cause: Exception = error
            if download:
                try:
                    return cls.origin(root, train=train, download=True)
                except Exception as error:  # offline, a proxy's page, a wrong checksum, a full disk: all mean no files
                    reason, cause = f"{type(error).__name__}: {error}".splitlines()[0], error
        raise DataError(
            f"the files of {cls.__name__} are missing or damaged and were not downloaded",
            where=str(Path(root) / cls.origin.base_folder),
            found=reason,
            expected=", ".join(name for name, _ in cls.origin.train_list + cls.origin.test_list),
            hint=f"put {cls.origin.filename} from {cls.origin.url} into {Path(root)}",
        ) from cause


class CIFAR100(CIFAR10):
    """60,000 pictures of 32×32 pixels in 100 classes: (3, 32, 32) uint8, int64. Train 50,000, test 10,000.

    The files lie in `<root>/cifar-100-python`, or packed in `<root>/cifar-100-python.tar.gz`. Source: as
    CIFAR-10.
    """

    origin = torchvision.datasets.CIFAR100
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
