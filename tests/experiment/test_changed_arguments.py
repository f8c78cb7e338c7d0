"""An argument of the optimizer that is changed on a resume is the one that the steps after it are made with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import CheckpointError
from assay.store.journal import read
from assay.trainer.checkpoint import Checkpoints

Tiny = Callable[..., dict[str, Any]]


def begun(tiny: Tiny, **changes: Any) -> Any:
    config = tiny(
        {
            "data.loader.args.batch_size": 300,
            "optimizer": {"type": "SGD", "args": {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.0}},
            "trainer.args.epochs": 2,
            "logging": {"every": "1ep", "system": None},
            **changes,
        }
    )
    return assay.train(config, quiet=True, preflight=False)


def resumed(run: Any, argument: str, value: float, epochs: int = 4) -> Any:
    overrides = [f"trainer.args.epochs={epochs}", f"optimizer.args.{argument}={value}"]
    allowed = [f"optimizer.args.{argument}"]
    return assay.train(resume=run.path, overrides=overrides, allow_change=allowed, quiet=True, preflight=False)


def rates(run: Any) -> list[float]:
    return [
        value
        for record in read(run.folder.journal)
        for name, value in record.scalars()
        if name == "train/learning_rate"
    ]


@pytest.mark.parametrize(("argument", "value"), [("lr", 0.125), ("momentum", 0.25), ("weight_decay", 0.5)])
def test_it_is_in_the_group_and_in_the_next_checkpoint(project: Path, tiny: Tiny, argument: str, value: float) -> None:
    run = resumed(begun(tiny, schedulers=[]), argument, value)
    held = Checkpoints(run.folder.checkpoints).load("last").tensors("training")["optimizer"]["param_groups"]
    assert [group[argument] for group in held] == [value]
    assert rates(run) == [0.5, 0.5, *([0.125] * 2 if argument == "lr" else [0.5] * 2)]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({"type": "StepLR", "args": {"step_size": 1, "gamma": 0.5}}, [0.5, 0.25, 0.03125, 0.015625]),
        ({"type": "ExponentialLR", "args": {"gamma": 0.5}}, [0.5, 0.25, 0.03125, 0.015625]),
    ],
)
def test_schedulers_work_from_the_new_rate(
    project: Path, tiny: Tiny, scheduler: dict[str, Any], expected: list[float]
) -> None:
    run = resumed(begun(tiny, schedulers=[scheduler]), "lr", 0.125)
    assert rates(run) == pytest.approx(expected, rel=1e-12)


def test_a_rate_of_a_group_is_its_own(project: Path, tiny: Tiny) -> None:
    groups = [{"match": r".*bias", "lr": 0.25}]
    optimizer = {"type": "SGD", "args": {"lr": 0.5}, "groups": groups}
    run = resumed(begun(tiny, schedulers=[], optimizer=optimizer), "lr", 0.125)
    held = Checkpoints(run.folder.checkpoints).load("last").tensors("training")["optimizer"]["param_groups"]
    assert sorted(group["lr"] for group in held) == [0.125, 0.25]


def test_a_group_may_be_given_another(project: Path, tiny: Tiny) -> None:
    optimizer = {"type": "SGD", "args": {"lr": 0.5}, "groups": [{"match": r".*bias", "lr": 0.25}]}
    run = begun(tiny, schedulers=[], optimizer=optimizer)
    overrides = ["trainer.args.epochs=3", "optimizer.groups.0.lr=0.0625"]
    assay.train(resume=run.path, overrides=overrides, allow_change=["optimizer"], quiet=True, preflight=False)
    held = Checkpoints(run.folder.checkpoints).load("last").tensors("training")["optimizer"]["param_groups"]
    assert sorted(group["lr"] for group in held) == [0.0625, 0.5]


def test_schedulers_that_work_from_a_rate_that_is_not_known_cannot_be_given_another(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_OF_IT", "0.5")
    optimizer = {"type": "SGD", "args": {"lr": "${env:RATE_OF_IT}"}}
    run = begun(tiny, schedulers=[{"type": "StepLR", "args": {"step_size": 1}}], optimizer=optimizer)
    monkeypatch.setenv("RATE_OF_IT", "0.125")
    with pytest.raises(CheckpointError, match="cannot change in this way on a resume"):
        assay.train(
            resume=run.path,
            overrides=["trainer.args.epochs=4"],
            allow_change=["optimizer.args.lr"],
            quiet=True,
            preflight=False,
        )
