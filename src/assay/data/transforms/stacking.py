"""From the things that samples are (pictures, arrays, tensors) to one tensor per batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from assay.errors import DataError

__all__ = ["stack", "to_float", "to_tensor"]


def to_tensor(image: Any) -> Tensor | None:
    """One sample as a tensor, or None where it is nothing of the kind.

    A PIL picture and a uint8 array (H, W) or (H, W, 1 | 3 | 4) become uint8 (C, H, W), as in torchvision; any
    other array of numbers keeps its shape and dtype.
    """
    if isinstance(image, Tensor):
        return image.as_subclass(torch.Tensor)  # no longer one of torchvision's tv_tensors
    if isinstance(image, Image.Image):
        # A palette's numbers are places in the palette, and a bilevel picture's are booleans: neither is a
        # brightness.
        image = np.array(image.convert({"P": "RGB", "PA": "RGBA", "1": "L"}.get(image.mode, image.mode)))
        return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
    if isinstance(image, np.ndarray) and image.dtype.kind in "biuf":
        if image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))):
            image = np.atleast_3d(image).transpose(2, 0, 1)
        return torch.from_numpy(image.copy())  # torch warns of arrays that are read-only and refuses flipped ones
    return None


def stack(images: Sequence[Any]) -> Tensor | None:
    """Samples as one tensor (B, ...), or None where they are not tensors, arrays or pictures.

    Raises:
        DataError: they have different shapes.
    """
    tensors = []
    for image in images:
        tensor = to_tensor(image)
        if tensor is None:
            return None
        tensors.append(tensor)
    for tensor in tensors:
        if tensor.shape != tensors[0].shape:
            raise _different(tensors[0], tensor)
    return torch.stack(tensors)


def to_float(batch: Tensor) -> Tensor:
    """uint8 in [0, 255] as float32 in [0, 1]; anything else as it is."""
    return batch.to(torch.float32).mul_(1.0 / 255) if batch.dtype == torch.uint8 else batch


def _different(one: Tensor, other: Tensor) -> DataError:
    hint = "add Resize or RandomResizedCrop (with a size of two numbers) to this split's transforms"
    if one.ndim == other.ndim == 3 and one.shape[1:] == other.shape[1:]:
        hint = "some have other channels than the rest: add RGB or Grayscale to this split's transforms"
    return DataError(
        "samples of different shapes cannot make a batch",
        found=f"{tuple(one.shape)} and {tuple(other.shape)}",
        expected="one shape for every sample",
        hint=hint,
    )
