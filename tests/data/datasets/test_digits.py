from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from assay.data.datasets.digits import Digits


@pytest.fixture(scope="module")
def train() -> Digits:
    return Digits("train")


@pytest.fixture(scope="module")
def test() -> Digits:
    return Digits("test")


def test_both_splits_together_are_the_whole_set(train: Digits, test: Digits) -> None:
    whole = load_digits()
    assert (len(train), len(test)) == (1437, 360)
    together = torch.cat([train.inputs, test.inputs]).flatten(1).numpy() * 16
    labelled = np.column_stack([together, torch.cat([train.targets, test.targets]).numpy()])
    expected = np.column_stack([whole.data, whole.target])
    assert np.array_equal(labelled[np.lexsort(labelled.T)], expected[np.lexsort(expected.T)])


def test_the_test_split_has_each_class_in_its_proportion(train: Digits, test: Digits) -> None:
    of_test, of_train = torch.bincount(test.targets), torch.bincount(train.targets)
    assert torch.all((of_test - 0.2 * (of_test + of_train)).abs() < 1)


def test_the_split_is_the_one_that_it_has_always_been(test: Digits) -> None:
    assert test.describe().sha256 == "c234d4ddba6ca49726ca14b03b75aef426782d9c7dafe2740d5db3dda77da138"


def test_values_lie_between_zero_and_one(train: Digits) -> None:
    assert train.inputs.shape[1:] == train.describe().shape == (1, 8, 8)
    assert train.inputs.dtype == torch.float32
    assert (train.inputs.min().item(), train.inputs.max().item()) == (0.0, 1.0)


def test_the_statistics_are_those_of_the_data(train: Digits) -> None:
    info = train.describe()
    assert info.classes == 10
    assert info.mean[0] == pytest.approx(train.inputs.mean().item(), abs=0.002)
    assert info.std[0] == pytest.approx(train.inputs.std().item(), abs=0.002)
