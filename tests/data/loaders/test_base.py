from __future__ import annotations

import multiprocessing
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.loaders import base as loaders
from assay.data.loaders.base import BaseLoader
from assay.data.loaders.batch import BatchLoader
from assay.data.samples import Samples
from assay.data.transforms.base import BaseTransform
from assay.data.transforms.pipeline import Pipeline
from assay.data.transforms.random_crop import RandomCrop
from assay.data.transforms.random_horizontal_flip import RandomHorizontalFlip
from assay.errors import DataError

from ..examples import Faulty, Noise, Numbered, OneByOne, ToFloat

Batches = list[tuple[Tensor, Tensor]]


def _loader(samples: Samples | None = None, **args: Any) -> BaseLoader:
    augmented = Pipeline([RandomCrop(4, 1), RandomHorizontalFlip(), ToFloat(), Noise(3.0)])
    samples = samples or Samples(OneByOne(), np.arange(1, 20), augmented, seed=7)
    return BatchLoader(samples, **{"batch_size": 6, "shuffle": True, "seed": 7, **args})


def _same(one: Batches, other: Batches) -> bool:
    return len(one) == len(other) and all(
        torch.equal(inputs, others[0]) and torch.equal(targets, others[1])
        for (inputs, targets), others in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def epochs() -> list[Batches]:
    return [list(_loader().batches(epoch)) for epoch in (0, 1)]


@pytest.mark.parametrize("args", [{"workers": 1}, {"workers": 2}, {"workers": 2, "persistent": False, "prefetch": 1}])
def test_workers_change_nothing(epochs: list[Batches], args: dict[str, Any]) -> None:
    loader = _loader(**args)
    assert _same(list(loader.batches(0)), epochs[0])
    assert _same(list(loader.batches(1)), epochs[1])
    assert _same(list(loader.batches(0)), epochs[0])
    loader.close()


def test_workers_that_are_spawned_change_nothing_either(epochs: list[Batches]) -> None:
    loader = _loader(workers=1, start_method="spawn", persistent=False)
    assert _same(list(loader.batches(1)), epochs[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_starting_at_a_batch_equals_skipping_those_before(epochs: list[Batches], workers: int) -> None:
    loader = _loader(workers=workers)
    for start in range(5):
        assert _same(list(loader.batches(1, start=start)), epochs[1][start:])
    loader.close()


def test_an_abandoned_epoch_leaves_nothing_behind(epochs: list[Batches]) -> None:
    loader = _loader(workers=2)
    next(iter(loader.batches(0)))
    assert _same(list(loader.batches(1)), epochs[1])
    loader.close()


def test_an_iteration_that_was_overtaken_says_so_instead_of_mixing_epochs() -> None:
    loader = _loader(workers=1)
    first = loader.batches(0)
    next(first)
    next(loader.batches(1))
    with pytest.raises(RuntimeError, match="another one over the same loader began"):
        next(first)
    loader.close()


def test_two_epochs_differ_in_order_and_in_augmentation(epochs: list[Batches]) -> None:
    orders = [torch.cat([targets for _, targets in epoch]) for epoch in epochs]
    assert not torch.equal(*orders)
    images = [
        torch.cat([inputs for inputs, _ in epoch])[order.argsort()] for epoch, order in zip(epochs, orders, strict=True)
    ]
    assert all(not torch.equal(one, other) for one, other in zip(*images, strict=True))


def test_every_sample_comes_once_and_the_last_batch_may_be_of_one(epochs: list[Batches]) -> None:
    for epoch in epochs:
        assert [len(targets) for _, targets in epoch] == [6, 6, 6, 1]
        assert epoch[-1][0].shape == (1, 1, 4, 4)
        assert torch.cat([targets for _, targets in epoch]).sort().values.tolist() == list(range(1, 20))


def test_len_is_the_number_of_batches_and_iter_is_epoch_zero(epochs: list[Batches]) -> None:
    loader = _loader()
    assert len(loader) == 4
    assert loader.batch_size == 6
    assert _same(list(loader), epochs[0])


def test_another_seed_gives_another_order() -> None:
    orders = [_loader(seed=seed).order(0).tolist() for seed in range(4)]
    assert len({tuple(order) for order in orders}) == 4


def test_drop_last_leaves_out_the_ragged_batch_of_training_alone(epochs: list[Batches]) -> None:
    assert _same(list(_loader(drop_last=True).batches(0)), epochs[0][:3])
    for stream in ("validation", "test"):
        measured = _loader(drop_last=True, stream=stream, shuffle=False)
        assert len(measured) == len(list(measured)) == 4


@pytest.mark.parametrize("stream", ["validation", "test"])
def test_measuring_is_the_same_in_every_epoch(stream: str) -> None:
    samples = Samples(OneByOne(), None, Pipeline([ToFloat(), Noise()]), stream=stream)
    loader = _loader(samples, stream=stream, shuffle=False)
    assert _same(list(loader.batches(0)), list(loader.batches(5)))
    assert torch.cat([targets for _, targets in loader]).tolist() == list(range(20))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_generators_of_the_process_are_untouched(workers: int) -> None:
    def drawn() -> tuple[Any, ...]:
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = drawn()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    loader = _loader(workers=workers)
    list(loader)
    assert drawn() == expected
    loader.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_raises_gives_the_same_error_with_and_without_workers(workers: int) -> None:
    loader = _loader(Samples(Faulty()), workers=workers, shuffle=False, batch_size=5)
    batches = loader.batches(0)
    assert next(batches)[1].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match=r"^sample 7 of Faulty cannot be read\n[^$]*ValueError: the seventh is broken"):
        next(batches)
    loader.close()


class Dying(OneByOne):
    """Whoever reads sample 13 is killed, as by a machine that is out of memory."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_killed_worker_is_an_error_that_names_it_the_samples_and_a_likely_cause() -> None:
    loader = _loader(Samples(Dying()), workers=2, shuffle=False, batch_size=5)
    with pytest.raises(DataError) as caught:
        list(loader.batches(0))
    assert "data worker 0 (process " in caught.value.message
    assert "was killed (signal 9)" in caught.value.message
    # Its first batch may have been on its way when it died.
    assert re.search(r"owed samples (10, 11, 12, 13, 14|0, 1, 2, 3, 4) of Dying, epoch 0", caught.value.found)
    assert "out of memory" in caught.value.hint


class Ending(OneByOne):
    """Whoever reads sample 13 ends in one of the ways that end a process, or never."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 13:
            if self.how == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "exit":
                os._exit(3)
            time.sleep(60)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("how", "told"),
    [("segfault", "died of signal 11"), ("exit", "ended with exit code 3"), ("hang", "has not given a batch for")],
)
def test_a_worker_that_ends_or_hangs_is_an_error_and_no_wait(how: str, told: str) -> None:
    loader = _loader(Samples(Ending(how)), workers=2, shuffle=False, batch_size=5, timeout=2.5)
    with pytest.raises(DataError, match=told) as caught:
        list(loader.batches(0))
    # Its first batch may have been on its way when it ended.
    assert re.search(r"(10, 11, 12, 13, 14|0, 1, 2, 3, 4) of Ending, epoch 0", caught.value.found)
    assert not multiprocessing.active_children()


def test_a_long_wait_for_a_worker_is_told_once_with_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "_LOOK", 0.1)
    monkeypatch.setattr(loaders, "_LONG", 0.3)
    loader = _loader(Samples(Ending("hang")), workers=2, shuffle=False, batch_size=5, timeout=1.0)
    told: list[str] = []
    loader.tell = told.append
    with pytest.raises(DataError, match="data worker 0 has not given a batch"):
        list(loader.batches(0))
    # On a busy machine the first batches may be long in coming too.
    told = [line.partition(" since")[0] for line in told if "batch 2 " in line]
    assert told == ["waiting for batch 2 of epoch 0 from data worker 0"]


def test_workers_that_are_still_at_an_abandoned_epoch_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "_LOOK", 0.2)
    loader = _loader(Samples(Ending("hang")), workers=1, shuffle=False, batch_size=5, prefetch=4)
    next(loader.batches(0))
    time.sleep(0.5)  # by now the worker is at the sample that it never gives
    assert next(loader.batches(0))[1].tolist() == [0, 1, 2, 3, 4]
    loader.close()


def test_a_worker_that_died_between_epochs_is_an_error_and_the_next_try_has_new_workers(
    epochs: list[Batches],
) -> None:
    loader = _loader(workers=1)
    assert _same(list(loader.batches(0)), epochs[0])
    process = loader._iterator._workers[0]  # type: ignore[union-attr]
    process.kill()
    process.join()
    with pytest.raises(DataError, match=r"data worker 0 \(process \d+\) was killed"):
        next(loader.batches(1))
    assert _same(list(loader.batches(1)), epochs[1])
    loader.close()


def test_a_dataset_that_cannot_be_sent_to_its_workers_is_an_error() -> None:
    class Local(OneByOne):
        pass

    loader = _loader(Samples(Local()), workers=1, start_method="spawn")
    with pytest.raises(DataError, match=r"the data workers of Local failed[^$]*[Pp]ickle[^$]*workers to 0"):
        next(loader.batches(0))


def test_a_dead_worker_interrupts_nothing_but_the_wait_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch sets its handler, which raises wherever the process is, once: let it believe that it has not.
    monkeypatch.setattr(torch.utils.data._utils.signal_handling, "_SIGCHLD_handler_set", False)
    before = signal.getsignal(signal.SIGCHLD)
    loader = _loader(workers=1)
    next(loader.batches(0))
    assert signal.getsignal(signal.SIGCHLD) == before
    loader.close()


class Handlers(OneByOne):
    """Tells what a worker does on SIGINT and on SIGTERM, and how many threads it has."""

    def __getitem__(self, index: int) -> Any:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        return torch.tensor([ignored, default, torch.get_num_threads() == 1]), index


@pytest.fixture
def handled() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def test_workers_leave_ctrl_c_to_the_trainer_and_inherit_none_of_its_handlers(handled: None) -> None:
    loader = _loader(Samples(Handlers()), workers=1, persistent=False)
    for told, _ in loader:
        assert told.all()


def test_an_order_of_ones_own_is_gone_through(epochs: list[Batches]) -> None:
    class Backwards(BaseLoader):
        def order(self, epoch: int) -> NDArray[np.int64]:
            return np.arange(len(self.samples))[::-1]

    backwards = Backwards(Samples(Numbered()), batch_size=8)
    assert torch.cat([targets for _, targets in backwards]).tolist() == list(range(20))[::-1]


def test_an_order_of_the_wrong_length_is_refused() -> None:
    class Short(BaseLoader):
        def order(self, epoch: int) -> NDArray[np.int64]:
            return np.arange(3)

    with pytest.raises(DataError, match=r"order\(\) of Short[^$]*\(3,\)[^$]*\(20,\)"):
        Short(Samples(Numbered())).batches(0)


@pytest.mark.parametrize("args", [{"batch_size": 0}, {"workers": -1}, {"prefetch": 0}])
def test_numbers_that_cannot_be_meant_are_refused(args: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        _loader(**args)


def test_less_than_a_batch_of_training_data_is_an_error() -> None:
    with pytest.raises(DataError, match=r"not one batch of train data[^$]*19 samples, batches of 32"):
        _loader(batch_size=32, drop_last=True)


def test_a_transform_sees_the_batch_in_the_order_of_its_keys() -> None:
    class Tagged(BaseTransform):
        def __call__(self, images: Tensor, keys: NDArray[np.uint64], purpose: int) -> Tensor:
            tags = torch.from_numpy((keys % np.uint64(1000)).astype(np.float32))
            return tags.view(-1, 1, 1, 1) + images * 0.0

    def tags(batch_size: int) -> dict[int, float]:
        loader = _loader(Samples(Numbered(), None, Pipeline([Tagged()])), batch_size=batch_size)
        return {int(i): x[0, 0, 0].item() for inputs, targets in loader for x, i in zip(inputs, targets, strict=True)}

    assert tags(3) == tags(20)
