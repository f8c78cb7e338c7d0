from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from assay.data.generators import BatchSeeds, restored_generators
from assay.data.transforms.normalize import Normalize
from assay.data.transforms.pipeline import Pipeline
from assay.data.transforms.random_crop import RandomCrop
from assay.data.transforms.random_horizontal_flip import RandomHorizontalFlip
from assay.errors import DataError

from ..examples import Noise, ToFloat


def _seeds(*indices: int, epoch: int = 0) -> BatchSeeds:
    return BatchSeeds(0, "train", epoch, np.array(indices))


def test_without_transforms_bytes_become_floats_up_to_one() -> None:
    images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    assert Pipeline()(images, _seeds(0)).tolist() == [[[[0.0, 1.0]]]]


def test_whole_batch_transforms_run_in_their_order_each_with_its_own_draws() -> None:
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    seeds = _seeds(*range(6))
    crop, flip, normalize = RandomCrop(8, 2), RandomHorizontalFlip(), Normalize([0.5] * 3, [0.2] * 3)
    expected = normalize(flip(crop(images, seeds.keys, 0), seeds.keys, 1), seeds.keys, 2)
    assert torch.equal(Pipeline([crop, flip, normalize])(images, seeds), expected)


def test_transforms_of_single_images_may_stand_anywhere() -> None:
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    done = Pipeline([v2.CenterCrop(6), RandomCrop(4), ToFloat(), Normalize([0.0], [2.0]), v2.CenterCrop(2)])(
        images, _seeds(*range(6))
    )
    cropped = RandomCrop(4)(images[:, :, 1:7, 1:7], _seeds(*range(6)).keys, 1)
    assert torch.equal(done, cropped[:, :, 1:3, 1:3].float() / 2)


def test_a_samples_draws_depend_on_its_index_and_epoch_and_on_nothing_else() -> None:
    images = torch.zeros(4, 1, 2, 2)
    pipeline = Pipeline([Noise()])
    whole = pipeline(images, _seeds(0, 1, 2, 3))
    assert torch.equal(pipeline(images[:1], _seeds(2))[0], whole[2])
    assert len({value.item() for value in whole[:, 0, 0, 0]}) == 4
    assert not torch.equal(pipeline(images, _seeds(0, 1, 2, 3, epoch=1)), whole)


def test_separate_passes_over_the_samples_draw_different_numbers() -> None:
    images = torch.zeros(4, 1, 2, 2)
    once = Pipeline([Noise()])(images, _seeds(0, 1, 2, 3))
    twice = Pipeline([Noise(), Normalize([0.0], [1.0]), Noise()])(images, _seeds(0, 1, 2, 3))
    assert not torch.allclose(twice, 2 * once)


def test_the_generators_of_the_process_are_untouched() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    Pipeline([Noise()])(torch.zeros(4, 1, 2, 2), _seeds(0, 1, 2, 3))
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_a_transform_that_works_in_place_does_not_reach_the_dataset() -> None:
    stored = torch.zeros(4, 1, 2, 2)
    pipeline = Pipeline([Noise()])
    pipeline(stored, _seeds(0, 1, 2, 3))
    pipeline.begin(stored[0], 0)
    array = np.zeros((2, 2))
    with restored_generators():
        Pipeline([lambda image: image.__iadd__(1)]).begin(array, 0)
    assert stored.abs().sum() == 0
    assert array.sum() == 0


def test_pictures_of_different_sizes_need_a_resize() -> None:
    pictures = [Image.new("RGB", (8, 6)), Image.new("RGB", (7, 9))]
    assert Pipeline([v2.Resize((4, 4)), Normalize([0.5] * 3, [0.5] * 3)])(pictures, _seeds(0, 1)).shape == (
        2,
        3,
        4,
        4,
    )
    with pytest.raises(DataError, match=r"different shapes[^$]*\(3, 6, 8\) and \(3, 9, 7\)[^$]*RandomResizedCrop"):
        Pipeline([Normalize([0.5] * 3, [0.5] * 3)])(pictures, _seeds(0, 1))


def test_a_transform_that_fails_is_named_with_its_sample() -> None:
    with pytest.raises(DataError, match=r"transform ElasticTransform fails on sample 12[^$]*Error"):
        Pipeline([v2.ElasticTransform()])([object(), "no image"], _seeds(12, 13))


def test_a_whole_batch_transform_that_fails_is_named_too() -> None:
    class Broken(RandomHorizontalFlip):
        def __call__(self, images: Any, keys: Any, purpose: int) -> Any:
            return images / "two"

    with pytest.raises(DataError, match=r"transform Broken fails on a batch of shape \(1, 1, 2, 2\)"):
        Pipeline([Broken()])(torch.zeros(1, 1, 2, 2), _seeds(0))


def test_inputs_that_are_no_images_go_through_unless_a_transform_is_in_the_way() -> None:
    inputs = [{"a": 1.0, "b": torch.zeros(2)}, {"a": 2.0, "b": torch.ones(2)}]
    assert Pipeline()(inputs, _seeds(0, 1))["a"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match=r"Normalize works on images[^$]*dict"):
        Pipeline([Normalize([0.5], [0.5])])(inputs, _seeds(0, 1))


def test_describe_names_each_class_with_arguments_and_code() -> None:
    described = Pipeline([RandomCrop(4), v2.Resize(8), Noise(0.5)]).describe()
    assert [entry["type"].rpartition(":")[2] for entry in described] == ["RandomCrop", "Resize", "Noise"]
    assert described[0]["args"] == {"size": [4, 4], "padding": 0}
    assert described[1]["args"]["size"] == [8]
    assert described[1]["code"].startswith("Resize(size=[8]")
    assert described[2] == {
        "type": f"{Noise.__module__}:Noise",
        "args": {"scale": 0.5},
        "code": "Noise(scale=0.5)",
    }


def test_torchvision_is_not_let_pass_arrays_on_untouched() -> None:
    array = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(DataError, match=r"CenterCrop would leave sample 4[^$]*ToImage"):
        Pipeline([v2.CenterCrop(4)])([array], _seeds(4))
    assert Pipeline([v2.ToImage(), v2.CenterCrop(4)])([array], _seeds(4)).shape == (1, 3, 4, 4)
