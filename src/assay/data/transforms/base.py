"""The contract of a transform that works on a whole batch."""

from __future__ import annotations

import enum
import inspect
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BaseTransform", "arguments_of"]


class BaseTransform(ABC):
    """A transform of whole batches; describe() finds the arguments that are stored under their own names."""

    @abstractmethod
    def __call__(self, images: Tensor, keys: NDArray[np.uint64], purpose: int) -> Tensor:
        """The transformed batch; `images` itself is left as it is.

        Args:
            images: (B, C, H, W), uint8 in [0, 255] or floating.
            keys: (B,), one for each sample; draw by `assay.utils.seeds.uniform(keys, draws, purpose)` and
                from nothing else, so that a sample's draws depend on neither its batch nor its worker.
            purpose: the place of this transform in the pipeline, which keeps its draws apart from others'.
        """

    def describe(self) -> dict[str, Any]:
        """The arguments as built, plain JSON values."""
        return arguments_of(self)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({arguments})"


def arguments_of(obj: Any) -> dict[str, Any]:
    """The constructor's arguments that an object keeps under their own names, as plain JSON values."""
    try:
        names = inspect.signature(type(obj)).parameters
    except (TypeError, ValueError):  # a class written in C may have no signature
        return {}
    return {name: _plain(getattr(obj, name)) for name in names if hasattr(obj, name)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return value.tolist()
    return repr(value)
