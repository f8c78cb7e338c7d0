from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.config.check import check
from assay.config.components import Allowed
from assay.config.load import load
from assay.errors import ConfigError, Problem
from assay.experiment.catalog import KINDS

Tiny = Callable[..., dict[str, Any]]


def problems(config: dict[str, Any], *overrides: str) -> list[Problem]:
    try:
        check(load(config, overrides), KINDS, Allowed(Path("/nowhere")))
    except ConfigError as error:
        return error.problems
    return []


def dynamic(*values: str) -> list[dict[str, Any]]:
    return [{"type": "DynamicLR", "args": {"values": dict.fromkeys(values, 0.1)}}]


def test_a_rate_that_dynamic_lr_overrides_cannot_be_set(tiny: Tiny) -> None:
    (problem,) = problems(tiny({"schedulers": dynamic("0", "3")}), "optimizer.args.lr=0.5")
    assert problem.key == "optimizer.args.lr"
    assert str(problem.place) == "--set optimizer.args.lr=0.5"
    assert problem.message == "this learning rate has no effect: DynamicLR sets its own from the beginning"
    assert problem.hint == '--set schedulers.0.args.values.0=…, or take the entry "0" out'


def test_a_rate_that_has_an_effect_can_be_set(tiny: Tiny) -> None:
    assert not problems(tiny({"schedulers": dynamic("3")}), "optimizer.args.lr=0.5")
    assert not problems(tiny(), "optimizer.args.lr=0.5")
    assert not problems(tiny({"schedulers": dynamic("0", "3")}), "optimizer.args.momentum=0.5")


def test_a_plateau_scheduler_cannot_go_by_batches(tiny: Tiny) -> None:
    plateau = {"type": "ReduceLROnPlateau", "unit": "batch"}
    (problem,) = problems(tiny({"schedulers": [plateau]}))
    assert problem.key == "schedulers.0.unit"
    assert not problems(tiny({"schedulers": ["ReduceLROnPlateau"]}))


@pytest.mark.parametrize(("validation", "test", "told"), [(0.5, 0.5, 1), (0.4, 0.5, 0), (0.9, 100, 0), (100, 100, 0)])
def test_shares_leave_something_to_train_on(validation: float, test: float, told: int, tiny: Tiny) -> None:
    found = problems(tiny({"data.split": {"validation": validation, "test": test}}))
    assert [problem.key for problem in found] == ["data.split"] * told
