"""The transforms of one split, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from assay.data.generators import BatchSeeds, restored_generators
from assay.data.transforms.base import BaseTransform, arguments_of
from assay.data.transforms.stacking import stack, to_float
from assay.errors import AssayError, DataError

__all__ = ["Pipeline"]

_Placed = tuple[int, Callable[..., Any]]  # a transform with its place in the pipeline


class Pipeline:
    """Runs assay's transforms on whole batches and all others sample by sample, each where it stands in the
    list.

    A transform for single samples is any callable that takes an image: torchvision's v2, or a class of the
    user's own. It may draw from the global generators of python, NumPy and torch: they are seeded for every
    sample. The outcome is a tensor; PIL pictures and uint8 become float32 in [0, 1].
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]] = ()) -> None:
        self.transforms = tuple(transforms)
        self._stages: list[tuple[bool, list[_Placed]]] = [
            (whole, list(placed))
            for whole, placed in groupby(enumerate(self.transforms), lambda pair: isinstance(pair[1], BaseTransform))
        ]
        # Transforms that come first and work on single samples run as soon as the sample is read, so that a
        # batch of large pictures is never held at its full size.
        self._leading = self._stages.pop(0)[1] if self._stages and not self._stages[0][0] else []

    def __call__(self, images: Tensor | Sequence[Any], seeds: BatchSeeds) -> Any:
        """A batch (B, ...) from a tensor (B, ...) or a list of B samples."""
        if self._leading:
            # A view again: see `begin`.
            images = images.clone() if isinstance(images, Tensor) else images
            images = self._each(self._leading, images, seeds, 0)
        return self.finish(images, seeds)

    def begin(self, image: Any, index: int) -> Any:
        """One sample after the leading transforms; the caller has seeded the generators for it."""
        if self._leading and isinstance(image, Tensor | np.ndarray):
            # A transform may work in place, and the dataset may have handed out a view of its own storage.
            image = image.clone() if isinstance(image, Tensor) else image.copy()
        return self._one(self._leading, image, index)

    def finish(self, images: Tensor | Sequence[Any], seeds: BatchSeeds) -> Any:
        """What `begin` has left to do, for the whole batch.

        Raises:
            DataError: a transform fails, or samples of different shapes are to be put together.
        """
        for stage, (whole, transforms) in enumerate(self._stages, start=1):
            if not whole:
                images = self._each(transforms, images, seeds, stage)
                continue
            for place, transform in transforms:
                batch = images if isinstance(images, Tensor) else stack(images)
                if batch is None:
                    raise DataError(
                        f"{_name(transform)} works on images, and the samples are none",
                        found=f"inputs of type {type(images[0]).__name__}",
                        expected="PIL pictures, arrays or tensors",
                    )
                images = _guarded(transform, f"a batch of shape {tuple(batch.shape)}", batch, seeds.keys, place)
        batch = images if isinstance(images, Tensor) else stack(images)
        return to_float(batch) if batch is not None else default_collate(list(images))

    def describe(self) -> list[dict[str, Any]]:
        """Each transform as it was built: its class, its arguments, its text."""
        return [
            {
                "type": f"{type(transform).__module__}:{type(transform).__qualname__}",
                "args": transform.describe() if isinstance(transform, BaseTransform) else arguments_of(transform),
                "code": _code(transform),
            }
            for transform in self.transforms
        ]

    def _each(self, transforms: list[_Placed], images: Tensor | Sequence[Any], seeds: BatchSeeds, stage: int) -> Any:
        done = []
        with restored_generators():
            for n, image in enumerate(images):
                seeds.enter(n, stage)
                done.append(self._one(transforms, image, int(seeds.indices[n])))
        return done

    @staticmethod
    def _one(transforms: list[_Placed], image: Any, index: int) -> Any:
        for _, transform in transforms:
            if isinstance(image, np.ndarray) and _leaves_arrays_alone(transform):
                raise DataError(
                    f"torchvision's {_name(transform)} would leave sample {index}, an array, as it is",
                    found=f"an array of shape {image.shape}",
                    expected="a PIL picture or a tensor",
                    hint="put ToImage before it: it takes (H, W, C)",
                )
            image = _guarded(transform, f"sample {index}", image)
        return image


def _guarded(transform: Callable[..., Any], what: str, *args: Any) -> Any:
    try:
        return transform(*args)
    except (AssayError, MemoryError):
        raise
    except Exception as error:
        raise DataError(
            f"transform {_name(transform)} fails on {what}",
            found=f"{type(error).__name__}: {error}",
            hint="see whether it takes what the dataset, or the transform before it, gives",
        ) from error


def _leaves_arrays_alone(transform: Callable[..., Any]) -> bool:
    """torchvision passes on what it does not know without a word, and arrays are among it."""
    known = type(transform).__module__.startswith("torchvision.transforms.v2")
    return known and _name(transform) not in ("ToImage", "ToPILImage", "Lambda", "Compose")


def _name(transform: Callable[..., Any]) -> str:
    return type(transform).__name__


def _code(transform: Callable[..., Any]) -> str:
    if repr(transform).startswith(f"<{type(transform).__module__}."):  # object's own shows an address
        arguments = ", ".join(f"{name}={value!r}" for name, value in arguments_of(transform).items())
        return f"{_name(transform)}({arguments})"
    return repr(transform)
