from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.data.transforms.random_horizontal_flip import RandomHorizontalFlip
from assay.utils.seeds import sample_keys, uniform

KEYS = sample_keys(0, "train", 1, np.arange(400))
IMAGES = torch.randint(0, 256, (400, 2, 3, 5), dtype=torch.uint8)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_it_equals_a_flip_sample_by_sample(p: float) -> None:
    before = IMAGES.clone()
    done = RandomHorizontalFlip(p)(IMAGES, KEYS, 2)
    assert torch.equal(IMAGES, before)
    for n, image in enumerate(IMAGES):
        flips = uniform(KEYS[n : n + 1], 1, 2)[0, 0] < p
        assert torch.equal(done[n], image.flip(-1) if flips else image)


def test_the_share_of_flips_is_p() -> None:
    done = RandomHorizontalFlip(0.25)(IMAGES, KEYS, 0)
    flipped = sum(not torch.equal(mine, image) for mine, image in zip(done, IMAGES, strict=True))
    assert 70 < flipped < 130


def test_a_p_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        RandomHorizontalFlip(1.5)
