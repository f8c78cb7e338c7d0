from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from assay.data.datasets.base import DatasetInfo
from assay.data.datasets.digits import Digits
from assay.data.loaders.base import BaseLoader
from assay.data.loaders.batch import BatchLoader
from assay.data.splits import Splits, make_loaders
from assay.data.transforms.normalize import Normalize
from assay.data.transforms.random_crop import RandomCrop
from assay.errors import ConfigError, DataError

from .examples import Noise, Numbered, OneByOne, ToFloat, bound


class ThreeSplits(Numbered):
    """A dataset with a validation split of its own; its sizes tell the splits apart."""

    def __init__(self, split: str = "train") -> None:
        super().__init__(split, {"train": 50, "validation": 7, "test": 9}[split])

    @classmethod
    def splits(cls, **args: Any) -> tuple[str, ...]:
        return ("train", "validation", "test")


def _splits(dataset: Any = OneByOne, transforms: Any = None, batch_size: int = 8, **args: Any) -> Splits:
    sizes = args.pop("sizes", {})
    loader = bound(BatchLoader, batch_size=batch_size, **args.pop("loader", {}))
    return make_loaders(bound(dataset, **sizes), loader, transforms or {}, **args)


def _targets(loader: BaseLoader | None) -> list[int]:
    assert loader is not None
    return sorted(int(target) for _, targets in loader for target in targets)


def test_a_share_of_the_training_data_becomes_validation_and_none_is_in_both() -> None:
    splits = _splits(sizes={"size": 100}, validation=0.2, test=0.3)
    parts = [_targets(splits.train), _targets(splits.validation), _targets(splits.test)]
    assert [len(part) for part in parts] == [50, 20, 30]
    assert sorted(itertools.chain(*parts)) == list(range(100))


def test_a_tenth_is_validation_when_nothing_is_said_and_no_test_is_made_up() -> None:
    splits = _splits(sizes={"size": 50})
    assert (len(_targets(splits.train)), len(_targets(splits.validation)), splits.test) == (45, 5, None)


def test_a_whole_number_is_a_count_and_zero_is_none() -> None:
    assert len(_targets(_splits(validation=3).validation)) == 3
    assert len(_targets(_splits(validation=1).validation)) == 1
    splits = _splits(validation=0)
    assert splits.validation is None
    assert _targets(splits.train) == list(range(20))


def test_the_division_follows_the_seed_and_a_larger_validation_leaves_the_test_alone() -> None:
    def parts(seed: int, validation: int) -> tuple[list[int], list[int]]:
        splits = _splits(sizes={"size": 60}, validation=validation, test=10, seed=seed)
        return _targets(splits.validation), _targets(splits.test)

    assert parts(0, 10) == parts(0, 10)
    assert parts(0, 10)[0] != parts(1, 10)[0]
    assert parts(0, 10)[1] == parts(0, 20)[1]


def test_a_datasets_own_splits_are_used_where_it_has_them() -> None:
    splits = _splits(ThreeSplits)
    assert [len(_targets(loader)) for loader in (splits.train, splits.validation, splits.test)] == [50, 7, 9]
    taken = _splits(ThreeSplits, validation=10)
    assert [len(_targets(loader)) for loader in (taken.train, taken.validation, taken.test)] == [40, 10, 9]
    assert set(_targets(taken.train)).isdisjoint(_targets(taken.validation))
    assert _splits(ThreeSplits, test=0).test is not None


def test_a_test_split_is_not_taken_from_a_dataset_that_has_one() -> None:
    with pytest.raises(DataError, match=r"has a test split of its own[^$]*data.split.test"):
        _splits(ThreeSplits, test=0.1)


@pytest.mark.parametrize("sizes", [{"validation": 20}, {"validation": 0.5, "test": 0.5}, {"validation": 30, "test": 1}])
def test_splits_that_leave_nothing_to_train_on_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"leave nothing to train on[^$]*fewer than 20"):
        _splits(**sizes)


@pytest.mark.parametrize("wrong", [1.5, -1, -0.1, True])
def test_sizes_that_cannot_be_meant_are_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="neither a share nor a number of samples"):
        _splits(validation=wrong)


@pytest.mark.parametrize("dataset", [OneByOne, Numbered])
@pytest.mark.parametrize("workers", [0, 1])
def test_validation_never_sees_training_transforms(dataset: Any, workers: int) -> None:
    transforms = {"train": [ToFloat(), Noise(100.0)], "validation": [ToFloat()], "test": [ToFloat()]}
    sizes = {"size": 40}
    splits = _splits(dataset, transforms, validation=10, sizes=sizes, loader={"workers": workers, "persistent": False})
    for epoch in (0, 1):
        assert all(not torch.equal(x, y.expand_as(x)) for x, y in _pixels(splits.train, epoch))
        assert all(torch.equal(x, y.expand_as(x)) for x, y in _pixels(splits.validation, epoch))
    if splits.test is not None:
        assert all(torch.equal(x, y.expand_as(x)) for x, y in _pixels(splits.test, 0))


def _pixels(loader: BaseLoader | None, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each image with its number, which every pixel of it has as long as nothing was done to it."""
    assert loader is not None
    return [(x, y.float()) for inputs, targets in loader.batches(epoch) for x, y in zip(inputs, targets, strict=True)]


def test_training_is_shuffled_and_measuring_is_not_and_covers_everything() -> None:
    splits = _splits(sizes={"size": 60}, validation=9, test=9, loader={"drop_last": True})
    assert len(splits.train) == 5
    orders = [torch.cat([targets for _, targets in splits.train.batches(epoch)]).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    for loader in (splits.validation, splits.test):
        assert loader is not None
        assert loader.batch_size == 8
        seen = torch.cat([targets for _, targets in loader.batches(3)]).tolist()
        assert seen == sorted(seen)
        assert len(seen) == 9


def test_the_shape_is_that_of_an_input_after_the_transforms() -> None:
    info = _splits(Digits, {"train": [RandomCrop(6), Normalize([0.3], [0.4])]}).info
    assert isinstance(info, DatasetInfo)
    assert (info.shape, info.in_channels, info.classes) == ((1, 6, 6), 1, 10)


def test_describe_is_plain_and_says_where_each_split_comes_from() -> None:
    transforms = {"train": [RandomCrop(8, 1), v2.Identity()], "test": [Normalize([0.3], [0.4])]}
    described = json.loads(json.dumps(_splits(Digits, transforms).describe()))
    assert {split: entry["samples"] for split, entry in described.items()} == {
        "train": 1293,
        "validation": 144,
        "test": 360,
    }
    assert [entry["dataset"]["split"] for entry in described.values()] == ["train", "train", "test"]
    assert described["train"]["dataset"]["type"] == "Digits"
    assert described["train"]["dataset"]["sha256"] != described["test"]["dataset"]["sha256"]
    assert [entry["code"] for entry in described["train"]["transforms"]] == [
        "RandomCrop(size=[8, 8], padding=1)",
        "Identity()",
    ]
    assert described["validation"]["transforms"] == []
    assert described["test"]["transforms"][0]["args"] == {"mean": [0.3], "std": [0.4]}


def test_a_loader_of_ones_own_gets_its_own_arguments_and_assays() -> None:
    class Every(BaseLoader):
        def __init__(self, samples: Any, *, keep: int, **args: Any) -> None:
            super().__init__(samples, **args)
            self.keep = keep

        def order(self, epoch: int) -> Any:
            return np.arange(len(self.samples)) // self.keep * self.keep

    splits = make_loaders(bound(OneByOne), bound(Every, keep=2, batch_size=5), {}, validation=0)
    assert isinstance(splits.train, Every)
    assert (splits.train.batch_size, splits.train.shuffle, splits.train.stream) == (5, True, "train")
    assert _targets(splits.train) == [n // 2 * 2 for n in range(20)]


def test_arguments_that_a_constructor_refuses_are_the_configurations_fault() -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1"):
        _splits(batch_size=0)


def test_something_that_is_no_loader_is_refused() -> None:
    with pytest.raises(DataError, match="is no loader"):
        make_loaders(bound(OneByOne), bound(dict), {})
