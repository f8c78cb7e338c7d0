from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets
from torchvision.datasets import cifar as reader

from assay.data.datasets.cifar import CIFAR10, CIFAR100
from assay.errors import DataError


def _pickled(value: Any) -> bytes:
    """As an old NumPy wrote it: its dtypes are called with 0 where today's are with False."""
    return pickle.dumps(value, protocol=2).replace(b"\x89\x88\x87", b"K\x00\x86")


def _rows(start: int) -> Any:
    return (np.arange(2 * 3072, dtype=np.uint32) + start).astype(np.uint8).reshape(2, 3072)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in CIFAR-10's format with two pictures in each, and torchvision told their checksums."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    for n, name in enumerate(names):
        content = _pickled({"data": _rows(n), "labels": [n, n + 1]})
        (folder / name).write_bytes(content)
        sums["test_list" if name == "test_batch" else "train_list"].append([name, hashlib.md5(content).hexdigest()])
    meta = _pickled({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(meta)
    for name, value in sums.items():
        monkeypatch.setattr(torchvision.datasets.CIFAR10, name, value)
    described = {**torchvision.datasets.CIFAR10.meta, "md5": hashlib.md5(meta).hexdigest()}
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", described)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(reader, "download_and_extract_archive", refuse)


def test_the_files_are_read_channels_first_and_old_pickles_bring_no_warning(root: Path) -> None:
    data = CIFAR10("train", root=str(root))
    assert data.inputs.shape == (10, 3, 32, 32)
    assert data.inputs.dtype == torch.uint8
    assert torch.equal(data.inputs[2:4].flatten(1), torch.from_numpy(_rows(1)))
    assert data.targets.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert data.describe().class_names == tuple("abcdefghij")
    assert CIFAR10("test", root=str(root)).targets.tolist() == [5, 6]


def test_a_failed_download_says_which_files_go_where(root: Path, offline: None) -> None:
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"cut")
    with pytest.raises(DataError) as caught:
        CIFAR10("train", root=str(root))
    assert "data_batch_3" in caught.value.expected
    assert "no route to host" in caught.value.found
    assert caught.value.where == str(root / "cifar-10-batches-py")
    assert "cifar-10-python.tar.gz" in caught.value.hint


def test_nothing_is_fetched_when_download_is_off(tmp_path: Path, offline: None) -> None:
    with pytest.raises(DataError, match=r"CIFAR100 are missing[^$]*download is off[^$]*cifar-100-python.tar.gz"):
        CIFAR100("train", root=str(tmp_path), download=False)
