"""Training, validation and test data from one section of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from assay.config.binding import Bound
from assay.data.datasets.base import SPLITS, DatasetInfo
from assay.data.datasets.opening import info_of, open_dataset, splits_of
from assay.data.loaders.base import BaseLoader
from assay.data.samples import BatchKey, Samples
from assay.data.transforms.pipeline import Pipeline
from assay.errors import DataError
from assay.utils.seeds import permutation

__all__ = ["Splits", "make_loaders"]

_DEFAULT_SHARE = 0.1


@dataclass(frozen=True)
class Splits:
    """The loaders of a run; no two of them share a sample.

    Args:
        info: of the training data; its `shape` is that of an input as the model gets it, after the
            transforms.
        origins: of each split, the dataset's own split that it was taken from and what that says of itself.
    """

    train: BaseLoader
    validation: BaseLoader | None
    test: BaseLoader | None
    info: DatasetInfo
    origins: Mapping[str, tuple[str, str, DatasetInfo]]

    def describe(self) -> dict[str, Any]:
        """Of each split, the dataset, the number of samples and the transforms as built; plain values."""
        loaders = {"train": self.train, "validation": self.validation, "test": self.test}
        described = {}
        for split, loader in loaders.items():
            if loader is not None:
                name, own_split, info = self.origins[split]
                described[split] = {
                    "dataset": {"type": name, "split": own_split, **asdict(info)},
                    "samples": len(loader.samples),
                    "transforms": loader.samples.pipeline.describe(),
                }
        return described


def make_loaders(
    dataset: Bound,
    loader: Bound,
    transforms: Mapping[str, Sequence[Callable[..., Any]]],
    validation: float | int | None = None,
    test: float | int | None = None,
    seed: int = 0,
) -> Splits:
    """The loaders for training, validation and test.

    Args:
        transforms: of each split, built; of a split that is not named, none.
        validation: a share (a float below 1) or a number of samples taken from the training data; 0 is no
            validation; None is the dataset's own validation split or else a tenth of the training data.
        test: None or 0 is the dataset's own test split, if it has one; a share or number is taken from the
            training data of a dataset that has none.

    Raises:
        DataError: the data is missing or damaged, or the shares cannot be had.
        ConfigError: a constructor refuses its arguments.
    """
    own = splits_of(dataset)
    if test and "test" in own:
        raise DataError(
            f"dataset {dataset.name!r} has a test split of its own, so none is taken from the training data",
            where="data.split.test",
            found=str(test),
            expected="null",
            hint="leave data.split.test out",
        )
    datasets = {"train": open_dataset(dataset, "train")}
    size = len(datasets["train"])  # type: ignore[arg-type]  # open_dataset has seen to its having one
    taken = {"test": _count("test", test, size) if test else 0, "validation": 0}
    if validation is None and "validation" in own:
        datasets["validation"] = open_dataset(dataset, "validation")
    else:
        taken["validation"] = _count("validation", _DEFAULT_SHARE if validation is None else validation, size)
    if "test" in own:
        datasets["test"] = open_dataset(dataset, "test")
    indices = _divided(size, taken, seed)
    infos = {split: info_of(part) for split, part in datasets.items()}

    loaders: dict[str, BaseLoader] = {}
    origins: dict[str, tuple[str, str, DatasetInfo]] = {}
    for split in SPLITS:
        source = split if split in datasets else "train"
        if split not in datasets and not taken.get(split):
            continue
        part = Samples(
            datasets[source], indices.get(split), Pipeline(transforms.get(split, ())), seed=seed, stream=split
        )
        built = loader.build(samples=part, shuffle=split == "train", seed=seed, stream=split)
        if not isinstance(built, BaseLoader):
            raise DataError(f"{loader.name!r} is no loader", found=type(built).__name__, expected="a BaseLoader")
        loaders[split] = built
        origins[split] = (dataset.name, source, infos[source])
    info = replace(infos["train"], shape=_shape_of_inputs(loaders["train"].samples, infos["train"].shape))
    return Splits(loaders["train"], loaders.get("validation"), loaders.get("test"), info, origins)


def _count(split: str, wanted: float, size: int) -> int:
    """The number of samples that a share or number means."""
    share = isinstance(wanted, float) and 0 < wanted < 1
    if not share and (isinstance(wanted, bool) or wanted != int(wanted) or wanted < 0):
        raise DataError(
            f"the size of split {split!r} is neither a share nor a number of samples",
            where=f"data.split.{split}",
            found=repr(wanted),
            expected="a share between 0 and 1, a whole number, or null",
        )
    return max(1, round(wanted * size)) if share else int(wanted)


def _divided(size: int, taken: Mapping[str, int], seed: int) -> dict[str, NDArray[np.int64]]:
    """Indices of the training data for each split that is taken from it; they share none.

    The test samples are drawn first, so that another size of validation leaves them where they are.
    """
    left = size - sum(taken.values())
    if left < 1:
        raise DataError(
            "the splits leave nothing to train on",
            where="data.split",
            found=", ".join(f"{count} samples for {split}" for split, count in taken.items() if count),
            expected=f"fewer than {size} in all",
        )
    if left == size:
        return {}
    drawn = permutation(size, seed, "split")
    ends = np.cumsum(list(taken.values()))
    parts = dict(zip(taken, np.split(drawn, ends), strict=False)) | {"train": drawn[ends[-1] :]}
    return {split: np.sort(part) for split, part in parts.items() if len(part)}


def _shape_of_inputs(samples: Samples, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    batch = samples.fetch(BatchKey(0, np.zeros(1, dtype=np.int64)))
    inputs = batch[0] if isinstance(batch, tuple) else None
    return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else otherwise
