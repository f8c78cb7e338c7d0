from __future__ import annotations

from typing import Any

import pytest
from torch.optim import lr_scheduler

from assay.errors import ConfigError
from assay.schedulers.sequence import Sequence
from assay.schedulers.wrapped import TorchScheduler

from .lines import entry, sgd

ALONE: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 3}),
    ("MultiStepLR", {"milestones": [2, 5]}),
    ("ConstantLR", {"total_iters": 4}),
    ("LinearLR", {"total_iters": 6}),
    ("PolynomialLR", {"total_iters": 6, "power": 2.0}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.4, "step_size_up": 3}),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 12}),
]


@pytest.mark.parametrize(("name", "args"), ALONE, ids=[name for name, _ in ALONE])
def test_alone_it_gives_the_rates_that_torch_gives(name: str, args: dict[str, Any]) -> None:
    optimizer = sgd(0.1, 0.3)
    reference = getattr(lr_scheduler, name)(optimizer, **args)
    expected = []
    for _ in range(12):
        expected.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
        optimizer.step()
        reference.step()
    optimizer = sgd(0.1, 0.3)
    sequence = Sequence([entry(name, **args)], optimizer, epochs_total=12, steps_total=12)
    found = []
    for _ in range(12):
        sequence.advance("epoch")
        found.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
    assert found == expected


@pytest.mark.parametrize(
    ("scheduler", "end"),
    [
        (lambda o: lr_scheduler.LinearLR(o, total_iters=4), 4),
        (lambda o: lr_scheduler.ConstantLR(o, total_iters=3), 3),
        (lambda o: lr_scheduler.PolynomialLR(o, total_iters=2), 2),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=9), 9),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, epochs=3, steps_per_epoch=5), 15),
        (lambda o: lr_scheduler.StepLR(o, 3), None),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 3), None),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o), None),
    ],
)
def test_ends_are_those_of_torch(scheduler: Any, end: int | None) -> None:
    wrapped = TorchScheduler(scheduler)
    wrapped.start(sgd(), [1.0])
    assert wrapped.end == end
    for _ in range(20):
        if not wrapped.finished:
            wrapped.step(1.0)
    assert wrapped.finished is (end is not None)


def test_it_starts_from_the_rate_it_finds_and_not_from_one_left_behind() -> None:
    optimizer = sgd()
    optimizer.param_groups[0]["initial_lr"] = 7.0
    wrapped = TorchScheduler(lambda o: lr_scheduler.CosineAnnealingLR(o, 4))
    wrapped.start(optimizer, [1.0])
    assert optimizer.param_groups[0]["initial_lr"] == 0.1
    assert wrapped.state_dict()["inner"]["base_lrs"] == [0.1]


@pytest.mark.parametrize(
    ("name", "args", "key"),
    [
        ("LinearLR", {"total_iters": 0}, "schedulers.0.args.total_iters"),
        ("PolynomialLR", {"total_iters": -1}, "schedulers.0.args.total_iters"),
        ("ConstantLR", {"factor": 0.0}, "schedulers.0.args.factor"),
    ],
)
def test_arguments_that_torch_takes_and_then_chokes_on_are_errors(name: str, args: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Sequence([entry(name, **args)], sgd(), epochs_total=9, steps_total=9)
    assert [problem.key for problem in caught.value.problems] == [key]
