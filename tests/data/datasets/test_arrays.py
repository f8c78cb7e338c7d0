from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.data.datasets.arrays import ArrayDataset

from ..examples import Numbered


def test_a_whole_batch_equals_its_samples() -> None:
    data = Numbered()
    inputs, targets = data.__getitems__(np.array([3, 0, 3]))
    assert inputs.dtype == torch.uint8
    assert torch.equal(inputs, torch.stack([data[3][0], data[0][0], data[3][0]]))
    assert targets.tolist() == [3, 0, 3]


def test_a_batch_is_a_copy() -> None:
    data = Numbered()
    inputs, _ = data.__getitems__([0, 1])
    inputs.fill_(9)
    assert data[0][0].sum() == 0


def test_the_hash_sees_values_targets_and_shapes() -> None:
    class Any_(Numbered):
        def __init__(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
            ArrayDataset.__init__(self, "train", inputs, targets)

    inputs, targets = torch.zeros(4, 2), torch.zeros(4)
    hashes = {
        Any_(inputs, targets).sha256,
        Any_(inputs + 1, targets).sha256,
        Any_(inputs, targets + 1).sha256,
        Any_(inputs.view(4, 2, 1), targets).sha256,
    }
    assert len(hashes) == 4
    assert Any_(inputs, targets).sha256 == Any_(inputs.clone(), targets).sha256


def test_inputs_without_targets_are_refused() -> None:
    class Short(Numbered):
        def __init__(self) -> None:
            ArrayDataset.__init__(self, "train", torch.zeros(3), torch.zeros(2))

    with pytest.raises(ValueError, match="3 inputs have 2 targets"):
        Short()
