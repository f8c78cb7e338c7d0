from __future__ import annotations

import pytest

from assay.errors import ConfigError
from assay.schedulers.base import BaseScheduler

from .lines import Hold, InverseRoot, sgd


def test_the_value_is_the_optimizers_own_rate_and_the_groups_keep_their_ratio() -> None:
    optimizer = sgd(0.1, 0.4)
    scheduler = InverseRoot()
    scheduler.start(optimizer, [1.0, 4.0])
    for _ in range(3):
        scheduler.step()
    assert scheduler.base == 0.1
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]


def test_a_frozen_first_group_stays_frozen() -> None:
    optimizer = sgd(0.0, 0.4)
    scheduler = InverseRoot()
    scheduler.start(optimizer, [0.0, 4.0])
    assert scheduler.base == 0.1
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.4]


def test_one_without_an_end_is_never_finished() -> None:
    scheduler = InverseRoot()
    scheduler.start(sgd(), [1.0])
    for _ in range(100):
        scheduler.step()
    assert not scheduler.finished


def test_it_is_finished_at_its_end() -> None:
    scheduler = Hold(0.3, length=2)
    scheduler.start(sgd(), [1.0])
    scheduler.step()
    assert not scheduler.finished
    scheduler.step()
    assert scheduler.finished


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_rate_that_cannot_be_used_is_an_error(value: float) -> None:
    with pytest.raises(ConfigError, match="no usable learning rate at position 0"):
        Hold(value, length=2).start(sgd(), [1.0])


def test_a_scheduler_without_a_value_cannot_be_made() -> None:
    class Nothing(BaseScheduler):
        pass

    with pytest.raises(TypeError, match="value"):
        Nothing()  # type: ignore[abstract]
