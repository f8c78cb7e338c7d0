from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms import v2

from assay.data.transforms.base import BaseTransform, arguments_of
from assay.data.transforms.normalize import Normalize
from assay.data.transforms.random_crop import RandomCrop


def test_a_transform_describes_its_arguments_as_built() -> None:
    assert RandomCrop(4, padding=1).describe() == {"size": [4, 4], "padding": 1}
    assert repr(Normalize([0.5], [0.25])) == "Normalize(mean=[0.5], std=[0.25])"


def test_arguments_of_foreign_objects_become_plain_values() -> None:
    described = arguments_of(v2.Resize(8))
    assert described["size"] == [8]
    assert described["interpolation"] == "bilinear"


def test_arrays_and_unknown_things_become_plain_values_too() -> None:
    class Odd(BaseTransform):
        def __init__(self, weights: object, table: object, kind: object) -> None:
            self.weights, self.table, self.kind = weights, table, kind

        def __call__(self, images, keys, purpose):  # type: ignore[no-untyped-def]
            return images

    odd = Odd(torch.ones(2), {1: np.float32(0.5)}, torch.uint8)
    assert odd.describe() == {"weights": [1.0, 1.0], "table": {"1": 0.5}, "kind": "torch.uint8"}
