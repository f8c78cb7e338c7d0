from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from assay.data.datasets.image_folder import ImageFolder
from assay.errors import DataError


def _picture(path: Path, colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        for name in ("dog", "cat"):
            for n in range(3):
                _picture(tmp_path / split / name / f"{2 - n}.png", (n, 0, 0))
    return tmp_path


def test_classes_are_the_sorted_folders_and_samples_pictures_with_their_numbers(root: Path) -> None:
    data = ImageFolder("train", root=str(root))
    assert data.classes == ["cat", "dog"]
    assert data.paths == [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(3)]
    picture, target = data[5]
    assert (picture.mode, picture.size, picture.getpixel((0, 0)), target) == ("RGB", (6, 4), (0, 0, 0), 1)
    info = data.describe()
    assert (info.shape, info.classes, info.class_names) == ((3, 4, 6), 2, ("cat", "dog"))


def test_the_splits_are_those_on_the_disk_whatever_validation_is_called(root: Path) -> None:
    assert ImageFolder.splits(root=str(root)) == ("train", "validation", "test")
    assert len(ImageFolder("validation", root=str(root))) == 6
    (root / "val").rename(root / "valid")
    assert len(ImageFolder("validation", root=str(root))) == 6
    (root / "valid").rename(root / "elsewhere")
    assert ImageFolder.splits(root=str(root)) == ("train", "test")


def test_the_numbers_of_classes_are_those_of_training_in_every_split(root: Path) -> None:
    for path in (root / "test" / "cat").iterdir():
        path.unlink()
    (root / "test" / "cat").rmdir()
    assert ImageFolder("test", root=str(root)).targets.tolist() == [1, 1, 1]


def test_a_class_that_training_does_not_know_is_an_error(root: Path) -> None:
    _picture(root / "test" / "cow" / "0.png")
    with pytest.raises(DataError, match=r"'test' has classes[^$]*cow"):
        ImageFolder("test", root=str(root))


def test_a_root_of_classes_is_one_training_split(root: Path) -> None:
    assert ImageFolder.splits(root=str(root / "train")) == ("train",)
    assert ImageFolder("train", root=str(root / "train")).classes == ["cat", "dog"]


def test_a_root_with_splits_but_no_training_is_not_taken_for_classes(root: Path) -> None:
    (root / "train").rename(root / "Train")
    if (root / "train").exists():  # a file system that does not tell them apart
        return
    with pytest.raises(DataError, match=r"no folder of pictures for split 'train'[^$]*Train"):
        ImageFolder("train", root=str(root))


def test_a_missing_root_says_what_it_should_look_like(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder[^$]*/train/<class>/<picture>.jpg"):
        ImageFolder("train", root=str(tmp_path / "nowhere"))


def test_a_class_without_pictures_and_a_split_without_classes_are_errors(root: Path) -> None:
    (root / "train" / "bird").mkdir()
    (root / "train" / "bird" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"a class has no pictures[^$]*bird"):
        ImageFolder("train", root=str(root))
    (root / "bare" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="no folders of classes"):
        ImageFolder("train", root=str(root / "bare"))


def test_what_tools_leave_behind_is_no_class_and_no_picture(root: Path) -> None:
    _picture(root / "train" / ".ipynb_checkpoints" / "0.png")
    _picture(root / "train" / "cat" / "._0.png")
    _picture(root / "train" / "cat" / "deeper" / "7.JPG")
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"")
    data = ImageFolder("train", root=str(root))
    assert data.classes == ["cat", "dog"]
    assert data.paths[:4] == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/deeper/7.JPG"]


@pytest.mark.parametrize("content", [b"", b"not a picture at all", None])
def test_a_picture_that_cannot_be_read_is_named(root: Path, content: bytes | None) -> None:
    path = root / "train" / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:50] if content is None else content)
    with pytest.raises(DataError, match=r"train/cat/1.png cannot be read as a picture"):
        ImageFolder("train", root=str(root))[1]


def test_one_channel_can_be_asked_for(root: Path) -> None:
    data = ImageFolder("train", root=str(root), mode="L")
    assert data[0][0].mode == "L"
    assert data.describe().shape == (1, 4, 6)


def test_the_hash_sees_names_and_sizes(root: Path) -> None:
    before = ImageFolder("train", root=str(root)).sha256
    assert ImageFolder("train", root=str(root)).sha256 == before
    _picture(root / "train" / "cat" / "1.png", size=(60, 40))
    after = ImageFolder("train", root=str(root)).sha256
    (root / "train" / "cat" / "1.png").rename(root / "train" / "cat" / "9.png")
    assert len({before, after, ImageFolder("train", root=str(root)).sha256}) == 3
