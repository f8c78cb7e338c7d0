from __future__ import annotations

from typing import Any

import pytest

from assay.errors import ConfigError
from assay.schedulers.dynamic import DynamicLR


def test_the_example_of_the_documentation() -> None:
    scheduler = DynamicLR({"0": 0.01, "40": 0.1, "60": 0.001})
    at = {position: scheduler.value(position) for position in (0, 39, 40, 59, 60, 1000)}
    assert at == {0: 0.01, 39: 0.01, 40: 0.1, 59: 0.1, 60: 0.001, 1000: 0.001}


def test_positions_are_numbers_not_texts_in_order() -> None:
    scheduler = DynamicLR({"10": 0.3, "9": 0.2, "0": 0.1})
    assert [scheduler.value(position) for position in (8, 9, 10)] == [0.1, 0.2, 0.3]
    assert scheduler.end == 10


def test_before_the_first_entry_the_rate_is_left_alone() -> None:
    assert DynamicLR({"3": 0.1}).value(2) is None


def test_whole_numbers_from_python_are_positions_too() -> None:
    assert DynamicLR({0: 0.1, 4: 1}).value(4) == 1.0


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "args.values"),
        ({"-1": 0.1}, "args.values.-1"),
        ({"1.5": 0.1}, "args.values.1.5"),
        ({"4ep": 0.1}, "args.values.4ep"),
        ({"04": 0.1}, "args.values.04"),
        ({"٤": 0.1}, "args.values.٤"),
        ({"": 0.1}, "args.values."),
        ({True: 0.1}, "args.values.True"),
        ({-1: 0.1}, "args.values.-1"),
        ({"4": 0.1, 4: 0.2}, "args.values.4"),
        ({"0": -0.1}, "args.values.0"),
        ({"0": float("nan")}, "args.values.0"),
        ({"0": float("inf")}, "args.values.0"),
        ({"0": "0.1"}, "args.values.0"),
        ({"0": True}, "args.values.0"),
        ({"0": None}, "args.values.0"),
    ],
)
def test_what_cannot_be_a_plan_is_an_error_with_its_key(values: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DynamicLR(values)
    assert [problem.key for problem in caught.value.problems] == [key]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        DynamicLR({"0": -0.1, "x": 0.1, "4": 0.2})
    assert len(caught.value.problems) == 2
