from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from assay.data.samples import BatchKey, Samples
from assay.data.transforms.normalize import Normalize
from assay.data.transforms.pipeline import Pipeline
from assay.data.transforms.random_crop import RandomCrop
from assay.errors import DataError

from .examples import Faulty, Noise, Numbered, OneByOne, ToFloat


def _key(*positions: int, epoch: int = 0) -> BatchKey:
    return BatchKey(epoch, np.array(positions))


def test_positions_are_looked_up_in_the_splits_own_indices() -> None:
    samples = Samples(Numbered(), np.array([4, 9, 2]), Pipeline([ToFloat()]))
    inputs, targets = samples.fetch(_key(2, 0))
    assert len(samples) == 3
    assert targets.tolist() == [2, 4]
    assert inputs[:, 0, 0, 0].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    "transforms",
    [[], [RandomCrop(2)], [Noise(9.0)], [RandomCrop(2), Noise(9.0), ToFloat(), Normalize([0.1], [0.3])]],
)
def test_whole_batches_single_samples_and_lists_of_samples_give_the_same(transforms: list[Any]) -> None:
    pipeline = Pipeline(transforms)
    batches = [
        Samples(dataset, None, pipeline, seed=3).fetch(_key(3, 11, 5, epoch=2))
        for dataset in (Numbered(), OneByOne(), Subset(OneByOne(), range(20)), Subset(Numbered(), range(20)))
    ]
    for inputs, targets in batches:
        assert torch.equal(inputs, batches[0][0])
        assert torch.equal(targets, torch.tensor([3, 11, 5]))


def test_a_batch_is_a_function_of_seed_stream_epoch_and_index() -> None:
    def drawn(seed: int = 0, stream: str = "train", epoch: int = 0) -> Any:
        samples = Samples(OneByOne(), None, Pipeline([ToFloat(), Noise()]), seed, stream)
        return samples.fetch(_key(1, 2, epoch=epoch))[0]

    assert torch.equal(drawn(), drawn())
    for other in (drawn(seed=1), drawn(stream="test"), drawn(epoch=1)):
        assert not torch.equal(drawn(), other)


@pytest.mark.parametrize("batched", [False, True])
def test_a_dataset_that_draws_numbers_itself_is_repeatable_and_leaves_the_process_alone(
    batched: bool,
) -> None:
    class Random(OneByOne):
        def __getitem__(self, index: int) -> Any:
            return torch.rand(1) + random.random() + np.random.rand(), index

    class Batched(Random):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [self[index] for index in indices]

    samples = Samples(Batched() if batched else Random())
    first = samples.fetch(_key(1, 2))[0]
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    assert torch.equal(samples.fetch(_key(1, 2))[0], first)
    drawn = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    assert drawn == (torch.rand(1), random.random(), np.random.rand())


def test_a_batch_of_one_has_all_its_dimensions() -> None:
    for dataset in (Numbered(), OneByOne()):
        inputs, targets = Samples(dataset).fetch(_key(7))
        assert inputs.shape == (1, 1, 4, 4)
        assert targets.shape == (1,)


def test_samples_that_are_no_pairs_are_collated_as_torch_does_and_take_no_transforms() -> None:
    class Named(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return {"text": index, "mask": torch.ones(2)}

    batch = Samples(Named()).fetch(_key(1, 3))
    assert batch["text"].tolist() == [1, 3]
    assert batch["mask"].shape == (2, 2)
    with pytest.raises(DataError, match=r"transforms need samples \(input, target\), and Named has others[^$]*dict"):
        Samples(Named(), None, Pipeline([ToFloat()])).fetch(_key(1, 3))


def test_targets_may_be_anything_that_torch_collates_and_are_never_transformed() -> None:
    class Boxed(OneByOne):
        def __getitem__(self, index: int) -> Any:
            return self.images[index], {"box": torch.full((4,), index), "name": str(index)}

    inputs, targets = Samples(Boxed(), None, Pipeline([ToFloat(), Noise()])).fetch(_key(1, 3))
    assert inputs.shape == (2, 1, 4, 4)
    assert targets["box"][:, 0].tolist() == [1, 3]
    assert targets["name"] == ["1", "3"]


def test_a_sample_that_raises_is_named_with_its_index_and_what_was_raised() -> None:
    samples = Samples(Faulty(), np.array([5, 7, 9]))
    with pytest.raises(DataError, match=r"sample 7 of Faulty cannot be read[^$]*ValueError: the seventh") as caught:
        samples.fetch(_key(0, 1, 2))
    assert "examples.py:" in caught.value.where


def test_an_error_of_the_dataset_keeps_its_own_advice() -> None:
    class Advised(OneByOne):
        def __getitem__(self, index: int) -> Any:
            raise DataError("the file is cut", hint="fetch it again", where="a.png")

    with pytest.raises(DataError, match=r"sample 2 of Advised cannot be read: the file is cut[^$]*fetch it again"):
        Samples(Advised()).fetch(_key(2))


def test_targets_that_do_not_fit_together_are_an_error() -> None:
    class Ragged(OneByOne):
        def __getitem__(self, index: int) -> Any:
            return self.images[index], torch.zeros(index)

    with pytest.raises(DataError, match=r"targets of Ragged cannot be put into a batch"):
        Samples(Ragged()).fetch(_key(1, 2))


@pytest.mark.parametrize("wrong", [(torch.zeros(2), torch.zeros(3)), (torch.zeros(2),), (1, 2), [1], None])
def test_what_is_no_batch_is_said_to_be_none(wrong: Any) -> None:
    class Wrong(OneByOne):
        def __getitems__(self, indices: list[int]) -> Any:
            return wrong

    with pytest.raises(DataError, match=r"__getitems__ of Wrong returned"):
        Samples(Wrong()).fetch(_key(1, 2))


def test_a_batch_that_raises_names_its_samples() -> None:
    class Broken(OneByOne):
        def __getitems__(self, indices: list[int]) -> Any:
            raise OSError("the disk is gone")

    with pytest.raises(DataError, match=r"samples 1, 2 of Broken cannot be read[^$]*OSError: the disk is gone"):
        Samples(Broken()).fetch(_key(1, 2))


def test_want_of_memory_is_not_taken_for_bad_data() -> None:
    class Large(OneByOne):
        def __getitem__(self, index: int) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        Samples(Large()).fetch(_key(1))
