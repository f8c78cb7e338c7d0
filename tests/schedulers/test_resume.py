"""A run that resumes goes on with the same rates, wherever it stopped and whatever steers it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.optim import AdamW, Optimizer, lr_scheduler

from assay.config.binding import Bound
from assay.errors import CheckpointError
from assay.schedulers.dynamic import DynamicLR
from assay.schedulers.sequence import Scheduled, Sequence

from .lines import (
    EPOCHS,
    STEPS,
    Hold,
    InverseRoot,
    WarmHalf,
    boundaries,
    dynamic,
    entry,
    sgd,
    through_a_file,
    values,
)


class Slowing:
    """A factor with a state of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, epoch: int) -> float:
        self.calls += 1
        return 1.0 / (1 + self.calls)


class Stateful(lr_scheduler.LambdaLR):
    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, Slowing())


class Method(lr_scheduler.LambdaLR):
    def __init__(self, optimizer: Optimizer, slope: float) -> None:
        self.slope = slope
        self.functions = [self.factor, lambda epoch: 1.0]
        super().__init__(optimizer, self.factor)

    def factor(self, epoch: int) -> float:
        return 1.0 / (1.0 + self.slope * epoch)


class Shrinking(lr_scheduler.MultiplicativeLR):
    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, lambda epoch: 0.9)


LINES: dict[str, list[Scheduled]] = {
    "DynamicLR": [dynamic(at0=0.1, at3=0.5, at5=0.05)],
    "StepLR": [entry("StepLR", step_size=2, gamma=0.5)],
    "MultiStepLR": [entry("MultiStepLR", milestones=[2, 5, 5], gamma=0.5)],
    "ExponentialLR": [entry("ExponentialLR", gamma=0.9)],
    "ConstantLR": [entry("ConstantLR", factor=0.5, total_iters=4)],
    "LinearLR": [entry("LinearLR", start_factor=0.1, total_iters=5)],
    "PolynomialLR": [entry("PolynomialLR", total_iters=7, power=2.0)],
    "LambdaLR": [entry(WarmHalf, epochs=4)],
    "LambdaLR with a state": [entry(Stateful)],
    "LambdaLR with a method": [entry(Method, slope=0.5)],
    "MultiplicativeLR": [entry(Shrinking)],
    "CosineAnnealingLR": [entry("CosineAnnealingLR", eta_min=0.01)],
    "CosineAnnealingWarmRestarts": [entry("CosineAnnealingWarmRestarts", T_0=2, T_mult=2)],
    "CyclicLR": [entry("CyclicLR", "batch", base_lr=0.1, max_lr=0.5, step_size_up=5, mode="triangular2")],
    "CyclicLR exp_range": [entry("CyclicLR", base_lr=0.1, max_lr=0.5, mode="exp_range", gamma=0.9)],
    "OneCycleLR": [entry("OneCycleLR", "batch", max_lr=0.7)],
    "OneCycleLR that ends": [entry("OneCycleLR", "batch", max_lr=0.7, total_steps=20, three_phase=True)],
    "ReduceLROnPlateau": [entry("ReduceLROnPlateau", factor=0.5, patience=1, cooldown=1)],
    "one's own": [entry(InverseRoot, "batch", every=4)],
    "a hand-over": [dynamic(at1=0.2, at4=0.5), entry("CosineAnnealingLR")],
    "a warm-up": [entry("LinearLR", "batch", total_iters=5), entry("CosineAnnealingLR")],
    "side by side": [
        entry("StepLR", step_size=3),
        entry("ExponentialLR", "batch", gamma=0.99),
        entry("ReduceLROnPlateau", patience=2),
    ],
    "a long line": [
        entry(Hold, rate=0.3, length=2),
        entry("OneCycleLR", "batch", max_lr=0.7, total_steps=8),
        entry("LinearLR", total_iters=3),
        entry("StepLR", "batch", step_size=2, gamma=0.9),
    ],
}
MONITORED = [None, 1.0, 1.0, 0.9, 0.95, float("nan"), 0.96, None, 0.97, 0.5, 0.6, 0.7]


def make(line: str, kind: str) -> tuple[Optimizer, Sequence]:
    optimizer: Optimizer
    if kind == "SGD":
        optimizer = sgd(0.1, 0.4)
    elif kind == "AdamW":
        optimizer = AdamW([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    else:
        rate = torch.tensor(0.1, dtype=torch.float64)
        optimizer = AdamW([torch.nn.Parameter(torch.ones(2))], lr=rate)
    return optimizer, Sequence(LINES[line], optimizer, epochs_total=EPOCHS, steps_total=EPOCHS * STEPS)


def walk(sequence: Sequence, optimizer: Optimizer, first: int = 0, last: int | None = None) -> list[Any]:
    """Every value of every group after each boundary of the run, from the boundary `first` on."""
    seen, epoch = [], -1
    for number, unit in enumerate(boundaries()):
        epoch += unit == "epoch"
        if number < first or (last is not None and number >= last):
            continue
        sequence.advance(unit, MONITORED[epoch] if unit == "epoch" else None)
        seen.append((sequence.holder, [{k: plain(v) for k, v in group.items()} for group in values(optimizer)]))
    return seen


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "tensor rate"])
@pytest.mark.parametrize("line", LINES)
def test_a_resumed_run_has_the_rates_of_one_that_never_stopped(line: str, kind: str) -> None:
    optimizer, sequence = make(line, kind)
    whole = walk(sequence, optimizer)
    rates = [group[0]["lr"] for _, group in whole]
    assert len(set(rates)) > 1, "a line that changes nothing proves nothing"
    for stop in range(0, len(whole), 1 if kind == "SGD" else 5):
        optimizer, sequence = make(line, kind)
        walk(sequence, optimizer, last=stop)
        state = through_a_file(sequence.state_dict())
        optimizer, sequence = make(line, kind)
        sequence.load_state_dict(state)
        assert walk(sequence, optimizer, first=stop) == whole[stop:]


def test_every_name_of_the_table_is_in_the_lines() -> None:
    torchs = {
        name
        for name, cls in vars(lr_scheduler).items()
        if inspect.isclass(cls) and issubclass(cls, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert torchs - {"LRScheduler", "SequentialLR", "ChainedScheduler"} <= set(LINES)


@pytest.mark.parametrize("line", LINES)
def test_loading_gives_back_the_groups_of_the_moment_of_saving(line: str) -> None:
    optimizer, sequence = make(line, "SGD")
    walk(sequence, optimizer, last=9)
    expected = [dict(group) for group in values(optimizer)]
    state = through_a_file(sequence.state_dict())
    optimizer, sequence = make(line, "SGD")
    sequence.load_state_dict(state)
    assert values(optimizer) == expected


def test_what_is_not_the_schedulers_business_is_not_restored() -> None:
    optimizer, sequence = make("OneCycleLR", "SGD")
    walk(sequence, optimizer, last=9)
    state = through_a_file(sequence.state_dict())
    optimizer, sequence = make("OneCycleLR", "SGD")
    optimizer.param_groups[0]["weight_decay"] = 0.25
    sequence.load_state_dict(state)
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


def test_what_a_constructor_writes_to_the_groups_is_not_written_again() -> None:
    class WithoutDecay(lr_scheduler.StepLR):
        def __init__(self, optimizer: Optimizer) -> None:
            optimizer.param_groups[0]["weight_decay"] = 0.0
            super().__init__(optimizer, 1)

    def line() -> tuple[Optimizer, Sequence]:
        optimizer = sgd(weight_decay=0.5)
        return optimizer, Sequence([entry(WithoutDecay)], optimizer, epochs_total=9, steps_total=9)

    _, sequence = line()
    sequence.advance("epoch")
    state = sequence.state_dict()
    optimizer, sequence = line()
    sequence.load_state_dict(state)
    assert optimizer.param_groups[0]["weight_decay"] == 0.5


def test_the_ratios_are_those_of_the_beginning_of_the_run() -> None:
    entries = [entry("OneCycleLR", max_lr=[1.0, 1.0], total_steps=2), dynamic(priority=2, at0=0.2)]
    sequence = Sequence(entries, sgd(0.1, 0.4), epochs_total=9, steps_total=9)
    sequence.advance("epoch")
    state = through_a_file(sequence.state_dict())
    optimizer = sgd(0.3, 0.3)  # as a checkpoint of the optimizer may leave it
    sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9)
    sequence.load_state_dict(state)
    sequence.advance("epoch")
    sequence.advance("epoch")
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.8]


def test_a_state_is_a_snapshot() -> None:
    optimizer, sequence = make("MultiStepLR", "tensor rate")
    walk(sequence, optimizer, last=5)
    state = sequence.state_dict()
    before = through_a_file(state)
    walk(sequence, optimizer, first=5)
    assert through_a_file(state) == before


def test_loading_leaves_the_state_as_it_was() -> None:
    optimizer, sequence = make("CyclicLR", "SGD")
    walk(sequence, optimizer, last=5)
    state = through_a_file(sequence.state_dict())
    for _ in range(2):
        optimizer, sequence = make("CyclicLR", "SGD")
        sequence.load_state_dict(state)


def test_a_resume_past_a_change_of_dynamic_has_the_new_rate() -> None:
    def at(*stops: int) -> float:
        optimizer = sgd()
        entries = [dynamic(at0=0.1, at4=0.05, at6=0.01)]
        sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9)
        for epoch in range(8):
            if epoch in stops:
                state = through_a_file(sequence.state_dict())
                optimizer = sgd()
                sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9)
                sequence.load_state_dict(state)
            sequence.advance("epoch")
        return float(optimizer.param_groups[0]["lr"])

    assert at() == at(4) == at(5) == at(6) == at(7) == at(1, 2, 3, 5) == 0.01


def test_a_run_made_longer_keeps_the_length_of_its_cosine() -> None:
    optimizer, sequence = make("CosineAnnealingLR", "SGD")
    whole = walk(sequence, optimizer)
    optimizer, sequence = make("CosineAnnealingLR", "SGD")
    walk(sequence, optimizer, last=20)
    state = sequence.state_dict()
    optimizer = sgd(0.1, 0.4)
    sequence = Sequence(LINES["CosineAnnealingLR"], optimizer, epochs_total=99, steps_total=999)
    sequence.load_state_dict(state)
    assert walk(sequence, optimizer, first=20) == whole[20:]


def resumed(before: dict[str, Any], after: dict[str, Any], cls: Any, epochs: int = 6) -> list[float]:
    optimizer = sgd()
    sequence = Sequence([entry(cls, **before)], optimizer, epochs_total=9, steps_total=9)
    for _ in range(3):
        sequence.advance("epoch")
    state = through_a_file(sequence.state_dict())
    optimizer = sgd()
    sequence = Sequence([entry(cls, **after)], optimizer, epochs_total=9, steps_total=9)
    sequence.load_state_dict(state)
    rates = []
    for _ in range(3, epochs):
        sequence.advance("epoch")
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_an_argument_changed_on_a_resume_takes_effect() -> None:
    rates = resumed({"step_size": 1, "gamma": 0.5}, {"step_size": 1, "gamma": 0.1}, "StepLR")
    assert rates == pytest.approx([0.0025, 0.00025, 0.000025])


def test_an_argument_that_goes_back_to_its_default_takes_effect() -> None:
    assert resumed({"step_size": 1, "gamma": 0.5}, {"step_size": 1}, "StepLR")[0] == pytest.approx(0.0025)


def test_changed_values_of_dynamic_take_effect() -> None:
    rates = resumed({"values": {"0": 0.1, "4": 0.5}}, {"values": {"0": 0.1, "5": 0.3}}, DynamicLR)
    assert rates == [0.1, 0.1, 0.3]


def test_an_argument_that_cannot_change_on_a_resume_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="'max_lr' of 'OneCycleLR' cannot change"):
        resumed({"max_lr": 1.0}, {"max_lr": 2.0}, "OneCycleLR")


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ([], "StepLR by epoch"),
        ([entry("ExponentialLR", gamma=0.5)], "StepLR by epoch"),
        ([entry("StepLR", "batch", step_size=2)], "StepLR by epoch"),
    ],
)
def test_a_state_of_other_schedulers_is_refused(after: list[Scheduled], found: str) -> None:
    state = Sequence([entry("StepLR", step_size=2)], sgd(), epochs_total=9, steps_total=9).state_dict()
    with pytest.raises(CheckpointError, match="other schedulers") as caught:
        Sequence(after, sgd(), epochs_total=9, steps_total=9).load_state_dict(state)
    assert caught.value.found == found


def test_a_state_of_other_groups_is_refused() -> None:
    state = Sequence([], sgd(0.1, 0.2), epochs_total=9, steps_total=9).state_dict()
    with pytest.raises(CheckpointError, match="number of parameter groups"):
        Sequence([], sgd(), epochs_total=9, steps_total=9).load_state_dict(state)


def test_arguments_from_python_that_cannot_be_saved_do_no_harm() -> None:
    def factor(epoch: int) -> float:
        return 0.5**epoch

    entries = [Scheduled(Bound("LambdaLR", lr_scheduler.LambdaLR, {"lr_lambda": factor}))]
    optimizer = sgd()
    sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9)
    for _ in range(3):
        sequence.advance("epoch")
    state = through_a_file(sequence.state_dict())
    optimizer = sgd()
    sequence = Sequence(entries, optimizer, epochs_total=9, steps_total=9)
    sequence.load_state_dict(state)
    sequence.advance("epoch")
    assert optimizer.param_groups[0]["lr"] == 0.0125
