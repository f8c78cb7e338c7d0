from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from assay.data.transforms.random_crop import RandomCrop
from assay.errors import DataError
from assay.utils.seeds import sample_keys, uniform

KEYS = sample_keys(0, "train", 1, np.arange(64))


@pytest.mark.parametrize(("size", "padding"), [(8, 2), ([5, 7], 0), ([3, 9], 1), (1, 0)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_it_equals_a_crop_sample_by_sample(size: int | list[int], padding: int, dtype: torch.dtype) -> None:
    images = torch.randint(0, 256, (64, 3, 8, 9)).to(dtype)
    done = RandomCrop(size, padding)(images, KEYS, 3)
    height, width = (size, size) if isinstance(size, int) else size
    assert done.dtype == dtype
    for n, image in enumerate(images):
        down, right = uniform(KEYS[n : n + 1], 2, 3)[0]
        padded = pad(image, (padding,) * 4)
        top = int(down * (padded.shape[1] - height + 1))
        left = int(right * (padded.shape[2] - width + 1))
        assert torch.equal(done[n], padded[:, top : top + height, left : left + width])


def test_every_place_is_reached_the_last_included() -> None:
    image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3).expand(500, 1, 3, 3)
    done = RandomCrop(1)(image, sample_keys(0, "train", 0, np.arange(500)), 0)
    counts = torch.bincount(done.flatten().long(), minlength=9)
    assert counts.min() > 30


def test_a_sample_is_cut_the_same_in_any_batch() -> None:
    images = torch.rand(64, 1, 8, 8)
    whole = RandomCrop(4)(images, KEYS, 0)
    assert torch.equal(RandomCrop(4)(images[10:11], KEYS[10:11], 0)[0], whole[10])


def test_the_purpose_keeps_two_crops_of_one_sample_apart() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(64, 1, 8, 8)
    assert not torch.equal(RandomCrop(1)(images, KEYS, 0), RandomCrop(1)(images, KEYS, 1))


def test_images_that_are_too_small_are_an_error() -> None:
    with pytest.raises(DataError, match=r"RandomCrop is larger[^$]*10 x 10[^$]*at least 12 x 12"):
        RandomCrop(12, padding=1)(torch.rand(64, 1, 8, 8), KEYS, 0)
    with pytest.raises(DataError, match="takes images"):
        RandomCrop(2)(torch.rand(64, 8), KEYS, 0)


@pytest.mark.parametrize(("size", "padding"), [(0, 0), ([1, 2, 3], 0), (2, -1)])
def test_arguments_that_cannot_be_meant_are_refused(size: int | list[int], padding: int) -> None:
    with pytest.raises(ValueError, match=r"size|padding"):
        RandomCrop(size, padding)
