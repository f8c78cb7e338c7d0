from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from torchvision import datasets as vision

from assay.config.binding import Bound
from assay.data.datasets.image_folder import ImageFolder
from assay.data.datasets.opening import info_of, open_dataset, splits_of
from assay.errors import ConfigError, DataError

from ..examples import Numbered, OneByOne, bound


class Recorded(OneByOne):
    """Keeps what it was called with."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given


class ByTrain(Recorded):
    def __init__(self, root: str, train: bool = True, size: int = 1) -> None:
        super().__init__(root=root, train=train, size=size)


class BySplit(Recorded):
    def __init__(self, root: str = "elsewhere", split: str = "train") -> None:
        super().__init__(root=root, split=split)


def _vision(name: str, missing: bool = False, **names: str) -> Any:
    """A class as if torchvision had it, called `name`; where files are missing it wants to download."""

    def initialise(self: Any, root: str, split: str = "train", download: bool = False) -> None:
        calls.append(download)
        if missing and not download:
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        if missing and root == "offline":
            raise OSError("no route to host")
        Recorded.__init__(self, root=root, split=split, download=download)

    calls: list[bool] = []
    members = {"__init__": initialise, "__module__": "torchvision.datasets.fake", "calls": calls}
    return type(name, (Recorded,), members)


def test_assays_own_datasets_are_told_the_split() -> None:
    assert splits_of(bound(Numbered, size=5)) == ("train", "test")
    dataset = open_dataset(bound(Numbered, size=5), "test")
    assert isinstance(dataset, Numbered)
    assert (dataset.split, len(dataset)) == ("test", 5)


def test_folders_say_themselves_which_splits_they_have(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    assert splits_of(bound(ImageFolder, root=str(tmp_path))) == ("train", "validation")


def test_a_class_of_ones_own_is_told_the_split_as_it_takes_it() -> None:
    assert splits_of(bound(ByTrain)) == splits_of(bound(BySplit)) == ("train", "test")
    assert open_dataset(bound(ByTrain, size=3), "test").given == {"root": "data", "train": False, "size": 3}  # type: ignore[attr-defined]
    assert open_dataset(bound(BySplit), "test").given == {"root": "elsewhere", "split": "test"}  # type: ignore[attr-defined]
    assert open_dataset(bound(ByTrain, root="mine"), "train").given["root"] == "mine"  # type: ignore[attr-defined]


def test_a_class_that_takes_neither_or_was_told_already_is_one_training_split() -> None:
    for one in (bound(OneByOne), bound(BySplit, split="extra"), bound(OneByOne())):
        assert splits_of(one) == ("train",)
        with pytest.raises(DataError, match="has no split 'test'"):
            open_dataset(one, "test")
    assert open_dataset(bound(BySplit, split="extra"), "train").given["split"] == "extra"  # type: ignore[attr-defined]


def test_an_object_that_is_ready_is_handed_on() -> None:
    ready = OneByOne()
    assert open_dataset(Bound("mine", ready), "train") is ready


@pytest.mark.parametrize(
    ("name", "splits", "names"),
    [
        ("SVHN", ("train", "test"), ("train", "test")),
        ("DTD", ("train", "validation", "test"), ("train", "val", "test")),
        ("Country211", ("train", "validation", "test"), ("train", "valid", "test")),
        ("OxfordIIITPet", ("train", "test"), ("trainval", "test")),
        ("ImageNet", ("train", "validation"), ("train", "val")),
    ],
)
def test_torchvisions_names_of_splits_are_known(name: str, splits: tuple[str, ...], names: tuple[str, ...]) -> None:
    one = bound(_vision(name))
    assert splits_of(one) == splits
    assert tuple(open_dataset(one, split).given["split"] for split in splits) == names  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["DTD", "Country211", "OxfordIIITPet", "PCAM", "CelebA", "Imagenette"])
def test_torchvision_has_the_splits_that_it_is_asked_for(name: str, tmp_path: Path) -> None:
    one = bound(getattr(vision, name), root=str(tmp_path), download=False)
    for split in splits_of(one):
        with pytest.raises(DataError, match=r"not found|corrupted|should be"):  # and not: unknown value for split
            open_dataset(one, split)


def test_a_split_named_in_the_configuration_is_refused_where_it_is_assays_to_choose() -> None:
    for one in (
        bound(Numbered, split="test"),
        bound(_vision("SVHN"), split="extra"),
        bound(vision.KMNIST, train=True),
    ):
        with pytest.raises(ConfigError, match="is not for the configuration to give") as caught:
            splits_of(one)
        assert caught.value.problems[0].key.startswith("data.dataset.args.")


def test_where_torchvision_has_both_train_chooses_and_split_is_the_users() -> None:
    assert splits_of(bound(vision.EMNIST, split="letters")) == ("train", "test")


def test_files_that_are_there_are_not_downloaded_and_missing_ones_are() -> None:
    there, missing = _vision("SVHN"), _vision("SVHN", missing=True)
    open_dataset(bound(there), "train")
    open_dataset(bound(missing), "train")
    assert (there.calls, missing.calls) == ([False], [False, True])


def test_a_failed_download_tells_both_reasons_and_download_false_is_obeyed() -> None:
    with pytest.raises(DataError, match=r"cannot be opened[^$]*not found[^$]*no route to host"):
        open_dataset(bound(_vision("SVHN", missing=True), root="offline"), "train")
    cls = _vision("SVHN", missing=True)
    with pytest.raises(DataError, match="not found"):
        open_dataset(bound(cls, download=False), "train")
    assert cls.calls == [False]


def test_datasets_without_numbered_samples_are_refused() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    class Endless(Dataset[int]):
        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(DataError, match=r"no numbered samples[^$]*Stream, an IterableDataset"):
        open_dataset(bound(Stream), "train")
    with pytest.raises(DataError, match=r"no numbered samples[^$]*__len__"):
        open_dataset(bound(Endless), "train")
    with pytest.raises(DataError, match="is empty"):
        open_dataset(bound(OneByOne, size=0), "train")


def test_what_a_dataset_does_not_say_is_seen() -> None:
    info = info_of(vision.FakeData(size=3, image_size=(3, 5, 6), num_classes=4))
    assert (info.shape, info.classes) == ((3, 5, 6), 4)
    named = OneByOne()
    named.classes = ["a", "b"]  # type: ignore[attr-defined]
    assert (info_of(named).classes, info_of(named).class_names) == (2, ("a", "b"))
    targeted = OneByOne()
    targeted.targets = [0, 4, 2]  # type: ignore[attr-defined]
    assert info_of(targeted).classes == 5
    assert info_of(TensorDataset(torch.zeros(3, 8), torch.tensor([0, 1, 1]))).classes == 2
    assert info_of(TensorDataset(torch.zeros(3, 8), torch.zeros(3))).classes is None
    assert info_of(Numbered()) == Numbered().describe()
