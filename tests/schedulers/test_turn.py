from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from assay.config.binding import Bound
from assay.errors import ConfigError
from assay.schedulers.base import BaseScheduler
from assay.schedulers.sequence import Scheduled, Sequence

from .lines import dynamic, entry, rates_by_epoch, sgd


def test_one_cycle_without_a_momentum_to_cycle_is_an_error_before_the_run() -> None:
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ConfigError, match="momentum"):
        Sequence([dynamic(at5=1.0), entry("OneCycleLR", max_lr=1.0)], optimizer, epochs_total=9, steps_total=9)


def test_bad_values_of_dynamic_are_told_with_their_key() -> None:
    with pytest.raises(ConfigError) as caught:
        Sequence([entry("StepLR", step_size=1), dynamic(at0=0.1, ten=0.5)], sgd(), epochs_total=9, steps_total=9)
    assert [problem.key for problem in caught.value.problems] == ["schedulers.1.args.values.ten"]


def test_a_plateau_by_batches_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        Sequence([entry("ReduceLROnPlateau", "batch")], sgd(), epochs_total=9, steps_total=9)
    assert caught.value.problems[0].key == "schedulers.0.unit"


def test_a_scheduler_tied_to_an_optimizer_is_an_error() -> None:
    ready = Scheduled(Bound("object", lr_scheduler.StepLR(sgd(), 1)))
    with pytest.raises(ConfigError, match="tied to an optimizer"):
        Sequence([ready], sgd(), epochs_total=9, steps_total=9)


def test_a_scheduler_whose_state_cannot_be_saved_is_an_error_before_the_run() -> None:
    class Keeps(lr_scheduler.StepLR):
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.seen = iter([1])
            super().__init__(optimizer, 1)

    with pytest.raises(ConfigError, match="a checkpoint cannot hold") as caught:
        Sequence([entry(Keeps)], sgd(), epochs_total=9, steps_total=9)
    assert "seen" in caught.value.problems[0].found


def test_a_short_scheduler_is_not_tried_beyond_its_end() -> None:
    class Table(BaseScheduler):
        def value(self, position: int) -> float:
            return [0.3, 0.2][position]

        @property
        def end(self) -> int:
            return 1

    assert rates_by_epoch(entry(Table), epochs=3) == [0.3, 0.2, 0.2]


def test_a_scheduler_that_fails_in_the_middle_is_named() -> None:
    class Table(BaseScheduler):
        def value(self, position: int) -> float:
            return [0.3, 0.2, 0.1][position]

    sequence = Sequence([entry(Table)], sgd(), epochs_total=9, steps_total=9)
    for _ in range(3):
        sequence.advance("epoch")
    with pytest.raises(ConfigError, match="Table") as caught:
        sequence.advance("epoch")
    assert "IndexError" in caught.value.problems[0].found
    assert "test_turn.py" in caught.value.problems[0].found
