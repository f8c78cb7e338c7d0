"""A signal at every point of a run: everything is saved, and the resumed run is the one that was never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.data.datasets.digits import Digits
from assay.errors import Interrupted
from assay.experiment import training
from assay.logger.courier import launch
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.default import DefaultTrainer

Tiny = Callable[..., dict[str, Any]]


class Point:
    """Where a signal comes, once: a name and how often the place is passed before."""

    name, count, number = "", 0, signal.SIGTERM

    @classmethod
    def passed(cls, name: str) -> None:
        if name != cls.name or cls.count < 0:
            return
        cls.count -= 1
        if cls.count < 0:
            if parent_process() is not None:
                try:
                    Path("signalled").touch(exist_ok=False)  # two workers would send two, and the second ends the run
                except FileExistsError:
                    return
            os.kill(os.getpid() if parent_process() is None else os.getppid(), cls.number)
            if name.startswith("data"):
                time.sleep(120)  # only a signal ends this wait
                Path("waited to the end").touch()


class Trainer(DefaultTrainer):
    def train_step(self, batch: Any) -> Any:
        if type(batch[0]) is torch.Tensor:  # not on paper
            Point.passed("step")
        return super().train_step((batch[0] * (0.9 + 0.1 * np.random.rand() * random.random()), batch[1]))

    def evaluate_step(self, batch: Any) -> Any:
        Point.passed(self.attachments.phase)
        return super().evaluate_step((batch[0] * (0.9 + 0.1 * np.random.rand() * random.random()), batch[1]))


class Waiting(Digits):
    def __getitems__(self, indices: Any) -> Any:
        if len(indices) > 1:  # not a look at the shape
            Point.passed(f"data of {self.split}")
        return super().__getitems__(indices)


@pytest.fixture(autouse=True)
def quiet_point() -> Iterator[None]:
    Point.name = ""
    yield
    Point.name = ""


CONFIG: dict[str, Any] = {
    "data.dataset": Waiting,
    "trainer.type": Trainer,
    "trainer.args.epochs": 2,
    "trainer.args.ema": 0.9,
    "model.args.dropout": 0.3,
    "data.loader.args.batch_size": 100,
    "schedulers": [{"type": "StepLR", "args": {"step_size": 1}}],
    "validation.every": "4ba",
    "testing.every": "1ep",
    "logging.every": "1ba",
    "metrics": ["Accuracy", "F1"],
    "checkpoints.every": "5ba",
}


def lines(run: Any) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in run.folder.journal.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in found]


def state(run: Any) -> dict[str, Any]:
    folder = run.folder.checkpoints / "last"
    parts = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("model", "ema", "training")}
    parts["training"].pop("generator", None)
    return parts


def same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def stopped(config: dict[str, Any], name: str, count: int, number: int = signal.SIGTERM, **settings: Any) -> Any:
    Point.name, Point.count, Point.number = name, count, number
    Path("signalled").unlink(missing_ok=True)
    with pytest.raises(Interrupted) as caught:
        assay.train(config, quiet=True, preflight=False, **settings)
    assert not Path("waited to the end").exists()
    assert caught.value.exit_code == (130 if number == signal.SIGINT else 143)
    Point.name = ""
    return assay.open("last")


def goes_on(config: dict[str, Any], name: str, count: int) -> Any:
    """Stop a run, hold its continuation against a run that was not, and return what its status said."""
    whole = assay.train(config, quiet=True, preflight=False)
    run = stopped(config, name, count)
    status = run.status
    assert status["state"] == "interrupted"
    resumed = assay.train(config, resume=run.path, quiet=True)
    assert lines(resumed) == lines(whole)
    assert same(state(resumed), state(whole))
    return status


@pytest.mark.parametrize(
    ("name", "count", "step"),
    [
        ("step", 0, 1),
        ("step", 12, 13),  # the last of the epoch
        ("step", 25, 26),
        ("validation", 1, 4),  # the second batch of the first validation
        ("validation", 13, 26),  # at the end of the last epoch
        ("test", 0, 13),
        ("test", 5, 26),
        ("data of train", 0, 0),
        ("data of train", 9, 7),  # validations are read from it as well
        ("data of train", 19, 13),
        ("data of test", 2, 13),
    ],
)
def test_a_run_that_was_stopped_anywhere_goes_on_as_if_it_had_not_been(
    project: Path, tiny: Tiny, name: str, count: int, step: int
) -> None:
    status = goes_on(tiny(CONFIG), name, count)
    assert status["step"] == step
    assert f"after step {step}" in status["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step", "validation", "test", "data of train", "data of test"])
@pytest.mark.parametrize("count", [0, 2, 5])
def test_a_run_with_workers_that_was_stopped_anywhere_goes_on_as_if_it_had_not_been(
    project: Path, tiny: Tiny, name: str, count: int
) -> None:
    count = 0 if name == "data of test" else count  # each worker counts its own batches
    goes_on(tiny({**CONFIG, "data.loader.args.workers": 2}), name, count)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_every_signal_in_a_validation_is_answered_before_its_end(project: Path, tiny: Tiny, number: int) -> None:
    config = tiny({**CONFIG, "data.split.validation": 700})
    run = stopped(config, "validation", 1, number)
    assert "in the validation after it; everything is saved" in run.status["reason"]
    assert run.status["step"] == 4
    assert [line["phase"] for line in lines(run)] == ["batch"] * 4
    assert assay.train(config, resume=run.path, quiet=True).status["state"] == "completed"


def test_a_signal_that_comes_while_a_checkpoint_is_written_waits_for_its_end_and_no_longer(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Checkpoints.save

    def save(self: Checkpoints, step: int, *args: Any, **settings: Any) -> Path:
        if step == 5:
            Point.passed("save")
        return write(self, step, *args, **settings)

    monkeypatch.setattr(Checkpoints, "save", save)
    config = tiny(CONFIG)
    whole = assay.train(config, quiet=True)
    run = stopped(config, "save", 0)
    assert run.status["step"] == 5
    # It is not written once more for the signal.
    assert [path.name for path in Checkpoints(run.folder.checkpoints).all()][-1] == "step-00000005"
    assert lines(assay.train(config, resume=run.path, quiet=True)) == lines(whole)


def test_a_signal_before_the_first_step_ends_the_run_with_a_final_status(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = training.describe

    def describe_and_be_stopped(*args: Any) -> None:
        describe(*args)
        Point.passed("start")

    monkeypatch.setattr(training, "describe", describe_and_be_stopped)
    run = stopped(tiny(CONFIG), "start", 0)
    assert run.status["state"] == "interrupted"
    assert "before the first step" in run.status["reason"]
    resumed = assay.train(tiny(CONFIG), resume=run.path, quiet=True)
    assert resumed.status["state"] == "completed"


def test_a_signal_in_the_preflight_leaves_no_folder(project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "preflight", lambda checked: Point.passed("preflight"))
    Point.name, Point.count = "preflight", 0
    with pytest.raises(Interrupted, match=r"stopped by signal 15 \(SIGTERM\) before the first step"):
        assay.train(tiny(CONFIG), quiet=True)
    assert not (project / "saved").exists()


def test_a_signal_after_the_last_step_shortens_the_wait_for_the_loggers_and_the_run_is_complete(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = launch.Courier.wait

    def slow(self: launch.Courier, deadline: float) -> Any:
        if deadline:
            Point.passed("data of the courier")
        return wait(self, deadline)

    monkeypatch.setattr(launch.Courier, "wait", slow)
    Point.name, Point.count = "data of the courier", 0
    run = assay.train(tiny({**CONFIG, "loggers": ["CSVLogger"]}), quiet=True)
    assert not Path("waited to the end").exists()
    assert run.status["state"] == "completed"
    for process in launch._going_on:
        process.wait()
