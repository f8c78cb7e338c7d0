from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.data.datasets.array_file import ArrayFile
from assay.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def test_its_own_names_and_those_of_medmnist_and_keras_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    for names in (
        (
            "train_inputs",
            "train_targets",
            "validation_inputs",
            "validation_targets",
            "test_inputs",
            "test_targets",
        ),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
    ):
        np.savez(
            path,
            **dict(
                zip(
                    names,
                    (IMAGES, LABELS[:, None], IMAGES[:2], LABELS[:2], IMAGES[:1], LABELS[:1]),
                    strict=True,
                )
            ),
        )  # type: ignore[arg-type]
        assert ArrayFile.splits(path=str(path)) == ("train", "validation", "test")
        assert [len(ArrayFile(str(path), split)) for split in ("train", "validation", "test")] == [6, 2, 1]


def test_images_become_channels_first_and_labels_classes(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", images=IMAGES, labels=LABELS[:, None].astype(np.uint8))
    data = ArrayFile(str(tmp_path / "data.npz"))
    assert ArrayFile.splits(path=str(tmp_path / "data.npz")) == ("train",)
    assert torch.equal(data.inputs, torch.from_numpy(IMAGES).permute(0, 3, 1, 2))
    assert data.targets.dtype == torch.int64
    assert (data.describe().shape, data.describe().classes) == ((3, 4, 5), 3)


def test_grey_images_get_a_channel_and_numbers_stay_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "grey.npz", x=IMAGES[..., 0], y=LABELS / 3)
    grey = ArrayFile(str(tmp_path / "grey.npz"))
    assert grey.describe().shape == (1, 4, 5)
    assert grey.describe().classes is None
    assert grey.targets.dtype == torch.float32
    np.savez(tmp_path / "table.npz", x=np.random.rand(6, 7), y=LABELS)
    table = ArrayFile(str(tmp_path / "table.npz"))
    assert table.inputs.dtype == torch.float32
    assert table.describe().shape == (7,)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with pytest.raises(DataError, match=r"data.npz cannot be read[^$]*FileNotFoundError"):
        ArrayFile(str(path))
    path.write_bytes(b"PK\x03\x04 rubbish")
    with pytest.raises(DataError, match="cannot be read"):
        ArrayFile(str(path))
    np.savez(path, pictures=IMAGES, labels=LABELS)
    with pytest.raises(DataError, match=r"no arrays for split 'train'[^$]*labels, pictures[^$]*train_inputs"):
        ArrayFile(str(path))
    np.savez(path, images=IMAGES, labels=LABELS[:5])
    with pytest.raises(DataError, match=r"different lengths[^$]*images \(6, 4, 5, 3\), labels \(5,\)"):
        ArrayFile(str(path))
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(DataError, match="one array"):
        ArrayFile(str(tmp_path / "one.npy"))


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=np.array([{}, {}], dtype=object), labels=LABELS[:2])
    with pytest.raises(DataError, match=r"damaged[^$]*allow_pickle=False"):
        ArrayFile(str(tmp_path / "data.npz"))
