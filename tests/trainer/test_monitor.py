from __future__ import annotations

import math

import pytest

from assay.errors import ConfigError
from assay.trainer.monitor import EarlyStopping, Monitor


def follow(monitor: Monitor, values: list[float]) -> int:
    """The epoch after which it stops, or -1."""
    for epoch, value in enumerate(values):
        monitor.update(value, epoch, epoch * 10)
        if monitor.exhausted:
            return epoch
    return -1


def test_it_stops_at_the_validation_that_is_the_patience_th_without_improvement() -> None:
    monitor = Monitor.parse("min validation/loss", EarlyStopping(patience=3))
    assert follow(monitor, [1.0, 0.5, 0.6, 0.7, 0.8, 0.1]) == 4
    assert (monitor.best, monitor.best_epoch, monitor.best_step) == (0.5, 1, 10)


def test_an_improvement_starts_the_count_anew() -> None:
    assert follow(Monitor.parse("min validation/loss", EarlyStopping(2)), [1.0, 1.1, 0.9, 1.0, 0.8, 0.9, 0.9]) == 6


@pytest.mark.parametrize("direction", ["min", "max"])
def test_a_flat_value_is_no_improvement(direction: str) -> None:
    assert follow(Monitor.parse(f"{direction} validation/loss", EarlyStopping(2)), [1.0, 1.0, 1.0]) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_no_improvement(value: float) -> None:
    monitor = Monitor.parse("min validation/loss", EarlyStopping(2))
    assert follow(monitor, [value, value]) == 1
    assert monitor.best is None


def test_a_first_finite_value_after_nan_is_an_improvement() -> None:
    monitor = Monitor.parse("max validation/accuracy", EarlyStopping(2))
    assert [monitor.update(value, 0, 0) for value in (math.nan, 0.1, 0.1, 0.2)] == [False, True, False, True]


def test_min_delta_must_be_beaten() -> None:
    monitor = Monitor.parse("max validation/accuracy", EarlyStopping(5, min_delta=0.1))
    assert [monitor.update(value, 0, 0) for value in (0.5, 0.6, 0.61)] == [True, False, True]


def test_the_count_survives_a_checkpoint() -> None:
    monitor = Monitor.parse("min validation/loss", EarlyStopping(2))
    follow(monitor, [1.0, 2.0])
    other = Monitor.parse("min validation/loss", EarlyStopping(2))
    other.load_state_dict(monitor.state_dict())
    assert follow(other, [3.0]) == 0


@pytest.mark.parametrize("text", ["validation/loss", "low validation/loss", "min loss", ""])
def test_a_monitor_that_is_not_written_right_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="not of the form"):
        Monitor.parse(text)
