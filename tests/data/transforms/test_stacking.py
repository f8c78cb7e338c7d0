from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from assay.data.transforms.stacking import stack, to_float, to_tensor
from assay.errors import DataError

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def test_a_picture_becomes_channels_first() -> None:
    tensor = to_tensor(Image.fromarray(PIXELS))
    assert tensor is not None
    assert torch.equal(tensor, torch.from_numpy(PIXELS).permute(2, 0, 1))
    grey = to_tensor(Image.fromarray(PIXELS[..., 0]))
    assert grey is not None
    assert grey.shape == (1, 2, 3)


def test_a_palette_is_looked_up_and_a_bilevel_picture_is_black_and_white() -> None:
    picture = Image.new("RGB", (2, 2), (200, 10, 10)).convert("P")
    tensor = to_tensor(picture)
    assert tensor is not None
    assert tensor.shape == (3, 2, 2)
    assert tensor[0, 0, 0] > 150
    bilevel = to_tensor(Image.new("1", (2, 2), 1))
    assert bilevel is not None
    assert bilevel.unique().tolist() == [255]


def test_arrays_of_pixels_become_channels_first_and_others_stay() -> None:
    assert torch.equal(to_tensor(PIXELS), to_tensor(Image.fromarray(PIXELS)))  # type: ignore[arg-type]
    floats = np.random.rand(2, 3, 3)[::-1]
    tensor = to_tensor(floats)
    assert tensor is not None
    assert tensor.dtype == torch.float64
    assert np.array_equal(tensor.numpy(), floats)
    assert to_tensor("text") is None
    assert to_tensor(np.array(["text"])) is None


def test_torchvisions_tensors_become_plain_ones() -> None:
    assert type(to_tensor(tv_tensors.Image(torch.zeros(3, 2, 2)))) is torch.Tensor


def test_only_bytes_are_scaled() -> None:
    assert torch.equal(to_float(torch.tensor([0, 255], dtype=torch.uint8)), torch.tensor([0.0, 1.0]))
    assert to_float(torch.tensor([3])).tolist() == [3]


def test_different_sizes_and_different_channels_have_different_advice() -> None:
    with pytest.raises(DataError, match=r"\(1, 2, 2\) and \(1, 3, 2\)[^$]*Resize"):
        stack([torch.zeros(1, 2, 2), torch.zeros(1, 3, 2)])
    with pytest.raises(DataError, match="RGB or Grayscale"):
        stack([torch.zeros(1, 2, 2), torch.zeros(3, 2, 2)])
