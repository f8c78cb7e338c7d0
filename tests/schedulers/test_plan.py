from __future__ import annotations

import pytest

from assay.schedulers.plan import Planned, plan

from .lines import dynamic, entry, rates_by_epoch, rates_by_step, sgd, values

LINE = [dynamic(at0=0.1, at4=0.05), entry("StepLR", step_size=2, gamma=0.5)]


def test_the_plan_is_what_a_run_does() -> None:
    rows = plan(LINE, [{"lr": 0.1}], epochs=12, steps_per_epoch=3)
    assert [row.rates[0] for row in rows] == rates_by_epoch(*LINE)
    assert [(row.epoch, row.step) for row in rows] == [(epoch, 3 * epoch) for epoch in range(12)]


def test_a_plan_by_batches_has_a_row_for_every_update() -> None:
    line = [entry("LinearLR", "batch", total_iters=4), entry("CosineAnnealingLR")]
    rows = plan(line, [{"lr": 0.1}], epochs=12, steps_per_epoch=3, every="batch")
    assert [row.rates[0] for row in rows] == rates_by_step(*line)
    assert rows[5] == Planned(1, 5, (0.1,), ("CosineAnnealingLR",))


def test_the_plan_says_who_holds_the_rate() -> None:
    rows = plan(LINE, [{"lr": 0.1}], epochs=6, steps_per_epoch=1)
    assert [row.holder for row in rows] == [("DynamicLR",)] * 4 + [("StepLR",)] * 2


def test_a_plan_for_an_optimizer_does_not_touch_it() -> None:
    optimizer = sgd(0.1, 0.4)
    before = [dict(group) for group in values(optimizer)]
    rows = plan(
        [entry("OneCycleLR", max_lr=1.0)],
        optimizer.param_groups,
        optimizer.defaults,
        epochs=4,
        steps_per_epoch=1,
    )
    assert len(rows[0].rates) == 2
    assert values(optimizer) == before


def test_groups_keep_their_ratio_to_the_defaults() -> None:
    rows = plan([dynamic(at0=0.2)], [{"lr": 0.1}, {"lr": 1.0}], {"lr": 0.1}, epochs=1, steps_per_epoch=1)
    assert rows[0].rates == (0.2, 2.0)


def test_a_run_that_ends_by_its_updates_has_a_plan_of_that_length() -> None:
    rows = plan([entry("CosineAnnealingLR")], [{"lr": 0.1}], epochs=10, steps_per_epoch=4, max_steps=7, every="batch")
    assert [(row.epoch, row.step) for row in rows] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (1, 6)]
    assert rows[-1].rates[0] == pytest.approx(0.05)


def test_a_plateau_comes_where_the_validations_say() -> None:
    line = [entry("ReduceLROnPlateau", factor=0.5, patience=0)]
    flat = plan(line, [{"lr": 0.1}], epochs=4, steps_per_epoch=1)
    assert [row.rates[0] for row in flat] == [0.1] * 4
    rows = plan(line, [{"lr": 0.1}], epochs=4, steps_per_epoch=1, monitored=[1.0, 2.0, 0.5, 9.0])
    assert [row.rates[0] for row in rows] == [0.1, 0.1, 0.05, 0.05]
