"""Datasets of any origin, opened by split: assay's, torchvision's, and plain torch datasets of one's own."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from assay.config.binding import Bound
from assay.data.datasets.base import BaseDataset, DatasetInfo
from assay.data.generators import BatchSeeds, restored_generators
from assay.data.transforms.stacking import to_tensor
from assay.errors import AssayError, ConfigError, DataError, Problem

__all__ = ["info_of", "open_dataset", "splits_of"]

# What torchvision's datasets call their splits, where it is not train and test.
_VAL = {"train": "train", "validation": "val", "test": "test"}
_VALID = {**_VAL, "validation": "valid"}
_NO_TEST = {"train": "train", "validation": "val"}
_TRAIN_TEST = {"train": "train", "test": "test"}
_NAMES = {
    **dict.fromkeys(("CLEVRClassification", "Cityscapes", "DTD", "FGVCAircraft", "Flowers102", "Kinetics"), _VAL),
    **dict.fromkeys(("PCAM", "RenderedSST2", "WIDERFace"), _VAL),
    **dict.fromkeys(("CelebA", "Country211"), _VALID),
    **dict.fromkeys(("ImageNet", "Imagenette", "FlyingChairs"), _NO_TEST),
    "OxfordIIITPet": {"train": "trainval", "test": "test"},
    "Places365": {"train": "train-standard", "validation": "val"},
}


def splits_of(bound: Bound) -> tuple[str, ...]:
    """The splits that a dataset has of its own, `train` first.

    Raises:
        ConfigError: the configuration chooses the split, which is assay's to choose.
        DataError: the place where the dataset lies cannot be read.
    """
    if bound.is_ready:
        return ("train",)
    if _is_own(bound):
        _refuse_choice(bound, "split")
        return tuple(bound.obj.splits(**bound.args))
    chosen = _chosen_by(bound)
    return tuple(_translation(bound, chosen)) if chosen else ("train",)


def open_dataset(bound: Bound, split: str) -> Dataset[Any]:
    """One split of a dataset.

    Its class is told the split as it takes it: `split="test"` (assay's own, most of torchvision's) or
    `train=False`. A class that takes neither is one training split. What may be downloaded is, if its files
    are missing.

    Raises:
        ConfigError: the constructor refuses its arguments.
        DataError: the data is missing or damaged, or is of a kind that cannot be indexed.
    """
    if split not in splits_of(bound):
        raise DataError(
            f"dataset {bound.name!r} has no split {split!r}",
            found=", ".join(splits_of(bound)),
            expected=split,
        )
    runtime: dict[str, Any] = {}
    if not bound.is_ready:
        chosen = "split" if _is_own(bound) else _chosen_by(bound)
        if chosen == "train":
            runtime["train"] = split == "train"
        elif chosen:
            runtime["split"] = split if _is_own(bound) else _translation(bound, chosen)[split]
        root = bound.parameters.known.get("root")
        if root is not None and root.required:
            runtime["root"] = "data"
    dataset = _built(bound, runtime)
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(
            f"dataset {bound.name!r} has no numbered samples",
            found=type(dataset).__name__ + (", an IterableDataset" if isinstance(dataset, IterableDataset) else ""),
            expected="a dataset with __len__ and __getitem__(index)",
            hint="order and resuming are exact because every sample has a number: give the dataset an index",
        )
    if len(dataset) == 0:
        raise DataError(f"split {split!r} of dataset {bound.name!r} is empty")
    return dataset  # type: ignore[no-any-return]  # what a class of the user's own returns is not typed


def info_of(dataset: Dataset[Any]) -> DatasetInfo:
    """What the dataset says of itself, or what can be seen: the shape of sample 0, and the number of classes by
    `classes`, `num_classes` or `targets`."""
    if isinstance(dataset, BaseDataset):
        return dataset.describe()
    with restored_generators():
        BatchSeeds(0, "info", 0, np.zeros(1, dtype=np.int64)).enter(0, 0)
        try:
            sample = dataset[0]
        except Exception as error:
            raise DataError(
                f"sample 0 of {type(dataset).__name__} cannot be read",
                found=f"{type(error).__name__}: {error}",
            ) from error
    image = to_tensor(sample[0] if isinstance(sample, tuple | list) and len(sample) == 2 else sample)
    info = DatasetInfo(shape=() if image is None else tuple(image.shape))
    names = getattr(dataset, "classes", None)
    if isinstance(names, list | tuple) and names:
        return replace(info, classes=len(names), class_names=tuple(str(name) for name in names))
    count = getattr(dataset, "num_classes", None)
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return replace(info, classes=count)
    targets = dataset.tensors[-1] if isinstance(dataset, TensorDataset) else None
    for attribute in ("targets", "labels"):
        targets = getattr(dataset, attribute, None) if targets is None else targets
    return replace(info, classes=_classes(targets))


def _classes(targets: Any) -> int | None:
    """One more than the largest of whole-numbered targets (N,)."""
    if targets is None:
        return None
    try:
        array = np.asarray(targets)
    except (ValueError, TypeError, RuntimeError):  # ragged, or on a device
        return None
    return int(array.max()) + 1 if array.ndim == 1 and array.dtype.kind in "iu" and array.size else None


def _is_own(bound: Bound) -> bool:
    return inspect.isclass(bound.obj) and issubclass(bound.obj, BaseDataset)


def _is_torchvision(bound: Bound) -> bool:
    return str(getattr(bound.obj, "__module__", "")).startswith("torchvision.")


def _chosen_by(bound: Bound) -> str:
    """The argument that chooses the split: `train`, `split`, or none.

    Where a class has both (torchvision's EMNIST), `split` means something else. A class of the user's own
    whose choice stands in the configuration is taken as one training split; torchvision's never is.
    """
    chosen = next((name for name in ("train", "split") if bound.accepts(name)), "")
    if chosen and _is_torchvision(bound):
        _refuse_choice(bound, chosen)
    return "" if chosen in bound.args else chosen


def _refuse_choice(bound: Bound, argument: str) -> None:
    if argument in bound.args:
        raise ConfigError.of(
            Problem(
                f"{argument!r} of {bound.name!r} is not for the configuration to give",
                bound.place,
                f"{bound.key or 'data.dataset'}.args.{argument}",
                found=repr(bound.args[argument]),
                hint="leave it out: the training split is opened for training, the others for measuring",
            )
        )


def _translation(bound: Bound, chosen: str) -> dict[str, str]:
    named = chosen == "split" and _is_torchvision(bound)
    return _NAMES.get(bound.obj.__name__, _TRAIN_TEST) if named else _TRAIN_TEST


def _built(bound: Bound, runtime: dict[str, Any]) -> Any:
    """The dataset; one that can be downloaded is tried without first: files put there by hand must do."""
    attempts: list[dict[str, Any]] = [{}]
    if not bound.is_ready and not _is_own(bound) and bound.accepts("download") and "download" not in bound.args:
        attempts = [{"download": False}, {"download": True}]
    reasons: list[str] = []
    for attempt in attempts:
        try:
            return bound.build(**runtime, **attempt)
        except (AssayError, MemoryError):
            raise
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}".splitlines()[0])
            cause = error
    raise DataError(
        f"dataset {bound.name!r} cannot be opened",
        found="; then, downloading: ".join(dict.fromkeys(reasons)),
        hint="put its files where its documentation says, or set data.dataset.args.root",
    ) from cause
