from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch

from assay.errors import DataError
from assay.trainer.batches import count_samples, first_images, split_batch, to_device

Pair = namedtuple("Pair", "inputs target")
X, Y = torch.arange(10.0).reshape(5, 2), torch.arange(5)


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], {"x": X, "y": Y}, Pair(X, Y), ({"a": X, "b": [Y]}, Y), X])
def test_a_batch_of_any_shape_is_counted_and_split_without_loss(batch: Any) -> None:
    assert count_samples(batch) == 5
    pieces = split_batch(batch, 2)
    assert [count_samples(piece) for piece in pieces] == [2, 2, 1]
    assert all(type(piece) is type(batch) for piece in pieces)
    flat = [piece if isinstance(piece, torch.Tensor) else next(_tensors(piece)) for piece in pieces]
    assert torch.equal(torch.cat(flat), X)


def _tensors(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        yield batch
    else:
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors(part)


def test_names_of_the_samples_are_split_with_them_and_other_things_are_not() -> None:
    pieces = split_batch((X, ["a", "b", "c", "d", "e"], "kind"), 3)
    assert [piece[1] for piece in pieces] == [["a", "b", "c"], ["d", "e"]]
    assert [piece[2] for piece in pieces] == ["kind", "kind"]


def test_a_batch_that_fits_is_left_as_it_is() -> None:
    batch = (X, Y)
    assert split_batch(batch, 5)[0] is batch


def test_a_batch_without_a_tensor_is_an_error() -> None:
    with pytest.raises(DataError, match="no tensor"):
        count_samples(["a", "b"])


def test_floating_point_tensors_get_the_precision_and_others_are_left() -> None:
    moved = to_device((X, Y, ["a"]), torch.device("cpu"), torch.float64, torch.contiguous_format)
    assert (moved[0].dtype, moved[1].dtype, moved[2]) == (torch.float64, torch.int64, ["a"])


def test_pictures_get_the_memory_format() -> None:
    images = torch.zeros(2, 3, 4, 4)
    moved = to_device((images, Y[:2]), torch.device("cpu"), torch.float32, torch.channels_last)
    assert moved[0].is_contiguous(memory_format=torch.channels_last)
    assert first_images((images, Y)) is images
    assert first_images((X, Y)) is None
