from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from assay.data.datasets.mnist import MNIST, FashionMNIST
from assay.errors import DataError

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], dtype=np.uint8)


def _idx(array: np.ndarray[Any, Any]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _write(folder: Path, prefix: str, pack: bool = False, dotted: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{prefix}-images-idx3-ubyte", IMAGES), (f"{prefix}-labels-idx1-ubyte", LABELS)):
        name = name.replace("-idx", ".idx") if dotted else name
        path = folder / (f"{name}.gz" if pack else name)
        path.write_bytes(gzip.compress(_idx(array)) if pack else _idx(array))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Any download fails, and is counted."""
    asked: list[str] = []

    def refuse(self: Any, root: str, download: bool) -> None:
        asked.append(root)
        raise URLError("no route to host")

    for cls in (MNIST, FashionMNIST):
        members = {"mirrors": ["https://example.org/"], "__init__": refuse}
        monkeypatch.setattr(cls, "origin", type(cls.__name__, (), members))
    return asked


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
def test_files_put_there_by_hand_are_read_without_a_download(
    tmp_path: Path, offline: list[str], pack: bool, split: str, prefix: str
) -> None:
    _write(tmp_path / "MNIST" / "raw", prefix, pack)
    data = MNIST(split, root=str(tmp_path))
    assert np.array_equal(data.inputs.numpy(), IMAGES[:, None])
    assert data.targets.tolist() == [7, 0, 9]
    assert data.describe().shape == (1, 28, 28)
    assert offline == []


def test_fashion_has_a_folder_of_its_own_and_other_spellings_do(tmp_path: Path) -> None:
    _write(tmp_path / "FashionMNIST", "train", dotted=True)
    assert len(FashionMNIST("train", root=str(tmp_path))) == 3
    assert FashionMNIST.class_names[1] == "Trouser"
    with pytest.raises(DataError, match="MNIST"):
        MNIST("train", root=str(tmp_path))


def test_a_failed_download_says_which_files_go_where(tmp_path: Path, offline: list[str]) -> None:
    _write(tmp_path / "MNIST" / "raw", "train")
    with pytest.raises(DataError) as caught:
        MNIST("test", root=str(tmp_path))
    assert offline == [str(tmp_path)]
    assert caught.value.where == str(tmp_path / "MNIST" / "raw")
    assert "t10k-images-idx3-ubyte" in caught.value.expected
    assert "no route to host" in caught.value.found


def test_nothing_is_fetched_when_download_is_off(tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(DataError, match="download is off"):
        MNIST("train", root=str(tmp_path), download=False)
    assert offline == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        _idx(IMAGES)[:-1],
        _idx(LABELS)[:6],
        b"\x00\x00\x0d\x01\x00\x00\x00\x00",
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "MNIST" / "raw"
    _write(folder, "train")
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="train-images-idx3-ubyte is damaged"):
        MNIST("train", root=str(tmp_path))


def test_a_cut_gzip_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    _write(folder, "train", pack=True)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz is damaged"):
        MNIST("train", root=str(tmp_path))


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    _write(folder, "train")
    (folder / "train-labels-idx1-ubyte").write_bytes(_idx(LABELS[:2]))
    with pytest.raises(DataError, match="do not belong together"):
        MNIST("train", root=str(tmp_path))
