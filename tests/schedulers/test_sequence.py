from __future__ import annotations

import math
import re
import warnings
from typing import Any

import pytest
import torch
from torch.optim import AdamW, Optimizer, lr_scheduler

from assay.config.binding import Bound
from assay.errors import ConfigError, NonFiniteError, Place
from assay.schedulers.base import BaseScheduler
from assay.schedulers.dynamic import DynamicLR
from assay.schedulers.sequence import Direction, Scheduled, Sequence

from .lines import (
    Hold,
    InverseRoot,
    WarmHalf,
    boundaries,
    dynamic,
    entry,
    rates_by_epoch,
    rates_by_step,
    sgd,
    values,
)


def test_the_example_of_the_design_gives_its_rates_exactly() -> None:
    rates = rates_by_epoch(dynamic(at0=0.1, at4=0.05), entry("StepLR", step_size=2, gamma=0.5), epochs=10)
    assert rates == [0.1] * 4 + [0.05] * 2 + [0.025] * 2 + [0.0125] * 2


def test_the_order_of_the_configuration_does_not_put_dynamic_second() -> None:
    rates = rates_by_epoch(entry("StepLR", step_size=3, gamma=0.5), dynamic(at0=0.1, at4=0.05), epochs=10)
    assert rates == [0.1] * 4 + [0.05] * 3 + [0.025] * 3


def test_cosine_starts_from_the_rate_handed_over_and_ends_with_the_run() -> None:
    rates = rates_by_epoch(dynamic(at0=0.1, at4=0.05), entry("CosineAnnealingLR"), epochs=12)
    cosine = [0.05 * (1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)]
    assert rates == pytest.approx([0.1] * 4 + cosine, rel=1e-12)


def test_a_length_given_to_cosine_is_not_replaced() -> None:
    rates = rates_by_epoch(entry("CosineAnnealingLR", T_max=4), epochs=5)
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)])


def test_a_subclass_of_lambda_scales_the_rate_handed_over() -> None:
    rates = rates_by_epoch(dynamic(at0=0.4, at3=0.2), entry(WarmHalf, epochs=2), epochs=8)
    assert rates == [0.4] * 3 + [0.1] * 2 + [0.2] * 3


def test_a_plateau_counts_only_the_validations_after_its_start() -> None:
    optimizer = sgd()
    entries = [dynamic(at0=0.1, at2=0.04), entry("ReduceLROnPlateau", factor=0.5, patience=1)]
    sequence = Sequence(entries, optimizer, epochs_total=8, steps_total=8)
    rates = []
    for monitored in (None, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        sequence.advance("epoch", monitored)
        rates.append(optimizer.param_groups[0]["lr"])
    # Starts at 2; at 3 the first value is the best; 4 and 5 are bad, and two are more than the patience of 1.
    assert rates == [0.1, 0.1, 0.04, 0.04, 0.04, 0.02, 0.02, 0.01]


def test_a_plateau_does_not_step_without_a_new_value() -> None:
    optimizer = sgd()
    sequence = Sequence([entry("ReduceLROnPlateau", factor=0.5, patience=0)], optimizer, epochs_total=9, steps_total=9)
    for monitored in (None, 1.0, None, None, None):
        sequence.advance("epoch", monitored)
        assert optimizer.param_groups[0]["lr"] == 0.1
    sequence.advance("epoch", 1.0)
    assert optimizer.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize("direction", ["min", "max"])
def test_nan_is_a_bad_epoch_for_a_plateau(direction: Direction) -> None:
    optimizer = sgd()
    entries = [entry("ReduceLROnPlateau", factor=0.5, patience=0)]
    sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9, direction=direction)
    for monitored in (None, 1.0, math.nan):
        sequence.advance("epoch", monitored)
    assert optimizer.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("args", "rate"),
    [({}, 0.1), ({"mode": "min"}, 0.05)],
    ids=["from the monitor", "as the configuration says"],
)
def test_a_plateau_takes_its_mode_from_the_monitor_unless_it_is_given(args: dict[str, Any], rate: float) -> None:
    optimizer = sgd()
    entries = [entry("ReduceLROnPlateau", factor=0.5, patience=0, **args)]
    sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9, direction="max")
    for monitored in (None, 0.5, 0.9):
        sequence.advance("epoch", monitored)
    assert optimizer.param_groups[0]["lr"] == rate


def test_dynamic_alone_holds_its_last_rate() -> None:
    assert rates_by_epoch(dynamic(at0=0.01, at3=0.1, at5=0.001), epochs=8) == [0.01] * 3 + [0.1] * 2 + [0.001] * 3


def test_without_an_entry_for_zero_the_optimizers_own_rate_holds() -> None:
    rates = rates_by_epoch(dynamic(at2=0.5), epochs=4, optimizer=sgd(own=0.3))
    assert rates == [0.3, 0.3, 0.5, 0.5]


def test_one_cycle_by_batches_is_torchs_own() -> None:
    optimizer = sgd()
    reference = lr_scheduler.OneCycleLR(optimizer, max_lr=0.4, total_steps=36)
    expected = []
    for _ in range(36):
        expected.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        reference.step()
    optimizer = sgd()
    sequence = Sequence([entry("OneCycleLR", "batch", max_lr=0.4)], optimizer, epochs_total=12, steps_total=36)
    found = []
    for unit in boundaries():
        sequence.advance(unit)
        if unit == "batch":
            found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
    assert found == expected


@pytest.mark.parametrize("args", [{"total_steps": 10}, {"epochs": 5, "steps_per_epoch": 2}])
def test_one_cycle_is_never_stepped_beyond_its_end(args: dict[str, int]) -> None:
    rates = rates_by_step(entry("OneCycleLR", "batch", max_lr=0.4, **args))
    lowest = 0.4 / 25 / 1e4
    assert rates[9:] == pytest.approx([lowest] * 27, rel=1e-12)


def test_one_cycle_hands_over_after_its_last_update() -> None:
    rates = rates_by_step(
        entry("OneCycleLR", "batch", max_lr=0.4, total_steps=10, div_factor=1.0, final_div_factor=4.0),
        entry("ExponentialLR", "batch", gamma=0.5),
    )
    assert rates[9:13] == pytest.approx([0.1, 0.1, 0.05, 0.025], rel=1e-12)


@pytest.mark.parametrize("length", [4, 6], ids=["within an epoch", "at the boundary of an epoch"])
def test_a_warm_up_by_batches_hands_over_to_a_cosine_by_epochs(length: int) -> None:
    rates = rates_by_step(
        entry("LinearLR", "batch", start_factor=0.1, total_iters=length), entry("CosineAnnealingLR"), epochs=6
    )
    warm = [0.1 * (0.1 + 0.9 * t / length) for t in range(length)]
    first = length // 3  # the epoch of the hand-over
    cosine = [0.1 * (1 + math.cos(math.pi * t / (6 - first))) / 2 for t in range(6 - first)]
    after = [cosine[step // 3 - first] for step in range(length, 18)]
    assert rates == pytest.approx(warm + after, rel=1e-12)


def test_a_scheduler_by_batches_waits_for_one_by_epochs_and_makes_no_step_at_its_start() -> None:
    rates = rates_by_step(dynamic(at0=0.4, at2=0.2), entry("ExponentialLR", "batch", gamma=0.5), epochs=3)
    assert rates == [0.4] * 6 + [0.2, 0.1, 0.05]


def test_dynamic_by_batches_counts_updates() -> None:
    rates = rates_by_step(dynamic("batch", at0=0.4, at4=0.2), entry("ExponentialLR", gamma=0.5), epochs=3)
    # Handed over at update 4, in epoch 1; the next epoch begins at update 6.
    assert rates == [0.4] * 4 + [0.2] * 2 + [0.1] * 3


def test_two_groups_keep_their_ratio() -> None:
    optimizer = sgd(0.1, 1.0)
    entries = [dynamic(at0=0.1, at2=0.05), entry("StepLR", step_size=1, gamma=0.5)]
    sequence = Sequence(entries, optimizer, epochs_total=5, steps_total=5)
    found = []
    for _ in range(5):
        sequence.advance("epoch")
        found.append([group["lr"] for group in optimizer.param_groups])
    assert found == [[0.1, 1.0], [0.1, 1.0], [0.05, 0.5], [0.025, 0.25], [0.0125, 0.125]]


def test_the_values_of_dynamic_are_for_the_optimizers_own_rate_not_for_the_first_group() -> None:
    optimizer = sgd(0.2, 0.1, own=0.1)
    Sequence([dynamic(at0=0.4)], optimizer, epochs_total=1, steps_total=1).advance("epoch")
    assert [group["lr"] for group in optimizer.param_groups] == [0.8, 0.4]


def test_three_schedulers_each_have_their_turn() -> None:
    rates = rates_by_epoch(
        dynamic(at0=0.4, at2=0.2),
        entry("ConstantLR", factor=0.5, total_iters=3),
        entry("ExponentialLR", gamma=0.5),
        epochs=8,
    )
    assert rates == pytest.approx([0.4] * 2 + [0.1] * 3 + [0.2, 0.1, 0.05])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_no_hand_over_skips_or_overruns_however_many_there_are(count: int) -> None:
    holds = [entry(Hold, rate=0.1 * (number + 1), length=2) for number in range(count)]
    expected = [0.1 * (step // 2 + 1) for step in range(2 * count)] + [0.1 * count] * 2
    assert rates_by_epoch(*holds, epochs=2 * count + 2) == pytest.approx(expected)


def test_a_priority_in_the_configuration_decides() -> None:
    first = entry("ConstantLR", priority=-1, factor=0.5, total_iters=2)
    assert rates_by_epoch(dynamic(at0=0.8), first, epochs=4) == [0.05, 0.05, 0.8, 0.8]
    assert rates_by_epoch(dynamic(at0=0.8), entry("ConstantLR", factor=0.5, total_iters=2), epochs=4) == [
        0.4,
        0.4,
        0.8,
        0.8,
    ]


def test_dynamic_behind_a_scheduler_without_end_still_runs() -> None:
    rates = rates_by_epoch(entry("ExponentialLR", gamma=0.5), dynamic(priority=1, at0=0.1, at2=0.4), epochs=4)
    # Side by side: at 2 dynamic sets 0.4; from then on it is finished and the other goes on alone.
    assert rates == [0.1, 0.1, 0.4, 0.2]


def test_schedulers_without_an_end_run_chained_as_in_torch() -> None:
    optimizer = sgd()
    chained = lr_scheduler.ChainedScheduler(
        [lr_scheduler.StepLR(optimizer, 3, 0.5), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    )
    expected = []
    for _ in range(12):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        chained.step()
    found = rates_by_epoch(entry("StepLR", step_size=3, gamma=0.5), entry("ExponentialLR", gamma=0.9))
    assert found == expected


def test_a_scheduler_of_ones_own_works_from_the_rate_handed_over() -> None:
    rates = rates_by_epoch(dynamic(at0=0.1, at2=0.4), entry(InverseRoot, every=3), epochs=9)
    assert rates == pytest.approx([0.1] * 2 + [0.4] * 3 + [0.4 / 2**0.5] * 3 + [0.4 / 3**0.5])


def test_a_scheduler_object_from_python_is_used_as_it_is() -> None:
    ready = Scheduled(Bound("object", DynamicLR({0: 0.3, 2: 0.2})))
    assert rates_by_epoch(ready, epochs=3) == [0.3, 0.3, 0.2]


def test_no_scheduler_leaves_the_rate_alone() -> None:
    assert rates_by_epoch(epochs=3) == [0.1] * 3


def test_the_holder_is_the_one_that_steers() -> None:
    entries = [
        dynamic(at0=0.1, at2=0.05),
        entry("LinearLR", "batch", total_iters=4),
        entry("StepLR", step_size=2),
        entry("ExponentialLR", gamma=0.9),
    ]
    sequence = Sequence(entries, sgd(), epochs_total=12, steps_total=36)
    holders = [sequence.holder]
    for unit in boundaries(5):
        sequence.advance(unit)
        if unit == "batch":
            holders.append(sequence.holder)
    assert holders == [()] + [("DynamicLR",)] * 6 + [("LinearLR",)] * 4 + [("StepLR", "ExponentialLR")] * 5


def test_after_the_end_of_all_the_last_one_holds() -> None:
    sequence = Sequence([dynamic(at0=0.1), entry("ConstantLR", total_iters=1)], sgd(), epochs_total=4, steps_total=4)
    for _ in range(4):
        sequence.advance("epoch")
    assert sequence.holder == ("ConstantLR",)


def test_cyclic_keeps_its_own_mode() -> None:
    rates = rates_by_step(entry("CyclicLR", "batch", base_lr=0.1, max_lr=0.5, step_size_up=2), epochs=2)
    assert rates == pytest.approx([0.1, 0.3, 0.5, 0.3, 0.1, 0.3])


def test_a_tensor_rate_stays_the_same_tensor() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = AdamW([torch.nn.Parameter(torch.ones(2))], lr=rate)
    held = optimizer.param_groups[0]["lr"]
    rates = rates_by_epoch(
        dynamic(at0=0.4, at2=0.2), entry("StepLR", step_size=1, gamma=0.5), epochs=4, optimizer=optimizer
    )
    assert rates == [0.4, 0.4, 0.2, 0.1]
    assert optimizer.param_groups[0]["lr"] is held


def test_stepping_before_the_first_update_says_nothing() -> None:
    sequence = Sequence([entry("StepLR", step_size=1)], sgd(), epochs_total=4, steps_total=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            sequence.advance("epoch")


def test_a_warning_of_a_scheduler_reaches_the_user() -> None:
    class Noisy(lr_scheduler.StepLR):
        def get_lr(self) -> list[float | torch.Tensor]:
            if self.last_epoch == 5:
                warnings.warn("the rate is about to fall", UserWarning, stacklevel=2)
            return super().get_lr()

    sequence = Sequence([entry(Noisy, step_size=1)], sgd(), epochs_total=9, steps_total=9)
    for _ in range(5):
        sequence.advance("epoch")
    with pytest.warns(UserWarning, match="about to fall"):
        sequence.advance("epoch")


def test_making_a_sequence_leaves_the_optimizer_as_it_was() -> None:
    optimizer = sgd(0.1, 0.2)
    before = [dict(group) for group in values(optimizer)]
    entries = [entry("OneCycleLR", max_lr=1.0), entry("CyclicLR", base_lr=0.3, max_lr=0.5), entry("LinearLR")]
    Sequence(entries, optimizer, epochs_total=9, steps_total=9)
    assert values(optimizer) == before


def test_every_scheduler_that_cannot_be_made_is_named_before_the_run() -> None:
    entries = [
        dynamic(at0=0.1, at40=0.01),
        entry("CosineAnnealingWarmRestarts", T_0=0),
        Scheduled(Bound("StepLR", lr_scheduler.StepLR, {"step_size": 0}, "schedulers.2", Place("c.json", 7, 9))),
        entry("OneCycleLR", max_lr=[0.1, 0.2, 0.3]),
    ]
    with pytest.raises(ConfigError) as caught:
        Sequence(entries, sgd(), epochs_total=50, steps_total=50)
    problems = caught.value.problems
    assert {problem.key for problem in problems} == {"schedulers.1", "schedulers.2", "schedulers.3"}
    assert next(problem.place for problem in problems if problem.key == "schedulers.2") == Place("c.json", 7, 9)
    assert "ZeroDivisionError" in next(problem.found for problem in problems if problem.key == "schedulers.2")


class Falling(BaseScheduler):
    """Below 0 in its fourth epoch, when nobody looks any more."""

    def value(self, position: int) -> float:
        return 0.3 - 0.1 * position - 0.01


class Falls(lr_scheduler.LambdaLR):
    def __init__(self, optimizer: Optimizer, at: float) -> None:
        super().__init__(optimizer, lambda epoch: 1.0 if epoch < 3 else at)


@pytest.mark.parametrize(
    ("scheduler", "args", "rate"),
    [
        (Falling, {}, "-0.0"),
        (Falls, {"at": -1.0}, "-0.1"),
        (Falls, {"at": math.nan}, "nan"),
        (Falls, {"at": math.inf}, "inf"),
    ],
)
@pytest.mark.parametrize("in_tensor", [False, True])
def test_a_rate_that_is_none_is_refused_before_an_update_is_made_with_it(
    scheduler: Any, args: dict[str, Any], rate: str, in_tensor: bool
) -> None:
    optimizer = sgd()
    if in_tensor:
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    line = Sequence([entry(scheduler, **args)], optimizer, epochs_total=9, steps_total=18)
    for unit in ("epoch", "batch", "batch") * 3:
        line.advance(unit)
    with pytest.raises(NonFiniteError) as caught:
        line.advance("epoch")
    name = scheduler.__name__
    assert re.match(rf"'.*{name}' gives the learning rate {re.escape(rate)}\d* at step 6;", caught.value.message)
    assert caught.value.exit_code == 5
