from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from assay.data.transforms.normalize import Normalize
from assay.errors import DataError

KEYS = np.zeros(5, dtype=np.uint64)
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]


def test_it_equals_torchvision_sample_by_sample_to_the_bit() -> None:
    images = torch.randint(0, 256, (5, 3, 6, 7), dtype=torch.uint8)
    done = Normalize(MEAN, STD)(images, KEYS, 0)
    for image, mine in zip(images, done, strict=True):
        scaled = functional.to_dtype(image, torch.float32, scale=True)
        assert torch.equal(mine, functional.normalize(scaled, MEAN, STD))


def test_floats_are_not_scaled_and_the_input_is_left_alone() -> None:
    images = torch.rand(5, 3, 2, 2, dtype=torch.float64)
    before = images.clone()
    done = Normalize(MEAN, STD)(images, KEYS, 0)
    assert done.dtype == torch.float64
    assert torch.equal(images, before)
    assert torch.allclose(done[:, 1], (before[:, 1] - MEAN[1]) / STD[1], atol=1e-15)


def test_another_number_of_channels_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match=r"another number of channels.*\n.*\(5, 1, 2, 2\)"):
        Normalize(MEAN, STD)(torch.rand(5, 1, 2, 2), KEYS, 0)


def test_whole_numbers_of_unknown_scale_are_refused() -> None:
    with pytest.raises(DataError, match="int64"):
        Normalize([0.5], [0.5])(torch.ones(5, 1, 2, 2, dtype=torch.int64), KEYS, 0)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.0]), ([0.5], [0.1, 0.1]), ([], []), ([0.5], [-1.0])])
def test_arguments_that_cannot_be_meant_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="std"):
        Normalize(mean, std)
