from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from assay.data.generators import BatchSeeds, restored_generators


def _draw() -> tuple[Any, ...]:
    return random.random(), np.random.rand(), torch.rand(1).item()


def _entered(seed: int = 0, stream: str = "train", epoch: int = 0, index: int = 3, stage: int = 0) -> Any:
    with restored_generators():
        BatchSeeds(seed, stream, epoch, np.array([9, index])).enter(1, stage)
        return _draw()


def test_a_sample_sees_the_same_draws_again() -> None:
    assert _entered() == _entered()


def test_every_part_of_the_path_changes_the_draws_of_every_generator() -> None:
    base = _entered()
    for change in ({"seed": 1}, {"stream": "test"}, {"epoch": 1}, {"index": 4}, {"stage": 1}):
        other = _entered(**change)  # type: ignore[arg-type]
        assert all(mine != theirs for mine, theirs in zip(base, other, strict=True)), change


def test_generators_are_given_back_as_they_were_even_after_an_error() -> None:
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = _draw()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    try:
        with restored_generators():
            BatchSeeds(0, "train", 0, np.array([0])).enter(0, 0)
            _draw()
            raise KeyError
    except KeyError:
        pass
    assert _draw() == expected


def test_keys_follow_the_index_and_not_the_place_in_the_batch() -> None:
    one = BatchSeeds(0, "train", 2, np.array([5, 6, 7])).keys
    other = BatchSeeds(0, "train", 2, np.array([7, 5])).keys
    assert one[2] == other[0]
    assert one[0] == other[1]
    assert len(set(one.tolist())) == 3
