"""Pictures in folders, one folder per class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from assay.data.datasets.base import SPLITS, BaseDataset, DatasetInfo
from assay.errors import DataError

__all__ = ["ImageFolder"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


class ImageFolder(BaseDataset):
    """`<root>/<split>/<class>/**/*.jpg` (or .png and others): a PIL picture and the number of its class.

    The classes are the names of the folders of the *training* split, sorted, for every split. A root without
    a folder `train` whose folders are the classes themselves is one training split.

    Args:
        split: train, validation (its folder may also be called val or valid) or test.
        root: the folder that holds the splits.
        mode: three channels, or one.

    Raises:
        DataError: a folder is missing or has no pictures, or a picture cannot be read (when it is asked for).
    """

    def __init__(self, split: str = "train", root: str = "data", mode: Literal["RGB", "L"] = "RGB") -> None:
        super().__init__(split)
        self.root = Path(root)
        self.mode = mode
        self.folder = self._folder_of(self.root, split)
        train = self.folder if split == "train" else self._folder_of(self.root, "train")
        self.classes = _subfolders(train)
        if not self.classes:
            raise DataError(
                "the training split has no folders of classes", where=str(train), expected=_layout(self.root)
            )
        found = _subfolders(self.folder)
        strange = sorted(set(found) - set(self.classes))
        if strange:
            raise DataError(
                f"split {split!r} has classes that the training split does not have",
                where=str(self.folder),
                found=", ".join(strange[:5]),
                expected=f"folders named as those of {train}",
            )
        self.paths: list[str] = []  # relative to `folder`, with forward slashes
        targets: list[int] = []
        for name in found:
            pictures = list(_pictures(self.folder, name))
            if not pictures:
                raise DataError(
                    "a class has no pictures",
                    where=str(self.folder / name),
                    expected=f"files that end in {', '.join(_SUFFIXES)}",
                )
            self.paths += pictures
            targets += [self.classes.index(name)] * len(pictures)
        self.targets = np.array(targets, dtype=np.int64)

    @classmethod
    def splits(cls, root: str = "data", **args: Any) -> tuple[str, ...]:
        """What the disk has."""
        found = tuple(split for split in SPLITS if cls._find(Path(root), split))
        return found if "train" in found else ("train",)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        path = self.folder / self.paths[index]
        try:
            with Image.open(path) as picture:
                return picture.convert(self.mode), int(self.targets[index])
        # What PIL raises on damaged files: SyntaxError and ValueError are among it.
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(
                f"{path} cannot be read as a picture",
                found=f"{type(error).__name__}: {error}",
                hint="remove the file, or replace it by a sound copy",
            ) from error

    def describe(self) -> DatasetInfo:
        first, _ = self[0]
        return DatasetInfo(
            shape=(len(first.getbands()), first.height, first.width),
            classes=len(self.classes),
            class_names=tuple(self.classes),
            source=str(self.root),
            sha256=self.sha256,
        )

    @cached_property
    def sha256(self) -> str:
        """Of the sorted list of names and sizes; reading every picture would take too long."""
        digest = hashlib.sha256()
        for path in sorted(self.paths):
            digest.update(f"{path}\0{(self.folder / path).stat().st_size}\n".encode())
        return digest.hexdigest()

    @staticmethod
    def _find(root: Path, split: str) -> Path | None:
        return next((root / name for name in _FOLDERS[split] if (root / name).is_dir()), None)

    @classmethod
    def _folder_of(cls, root: Path, split: str) -> Path:
        folder = cls._find(root, split)
        if folder is None and split == "train" and root.is_dir() and not any(cls._find(root, name) for name in SPLITS):
            folder = root  # the folders of the classes lie in the root itself
        if folder is None:
            raise DataError(
                f"there is no folder of pictures for split {split!r}",
                where=str(root),
                found=", ".join(sorted(path.name for path in root.iterdir())[:8])
                if root.is_dir()
                else "no such folder",
                expected=_layout(root),
                hint="set data.dataset.args.root to the folder that holds the splits",
            )
        return folder


def _layout(root: Path) -> str:
    return f"{root}/train/<class>/<picture>.jpg, and validation/ and test/ likewise if there are any"


def _subfolders(folder: Path) -> list[str]:
    """Names of classes, sorted; what tools leave behind (.ipynb_checkpoints, __MACOSX) is none."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _pictures(folder: Path, name: str) -> Iterator[str]:
    """The pictures below a class's folder, relative to `folder`, in an order that no file system decides."""
    for place, inner, files in os.walk(folder / name, followlinks=True):
        inner.sort()
        for file in sorted(files):
            if file.lower().endswith(_SUFFIXES) and not file.startswith("."):
                yield (Path(place) / file).relative_to(folder).as_posix()
