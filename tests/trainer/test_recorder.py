from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.errors import AssayError, StorageError
from assay.model.metrics.reading import Reading
from assay.store.journal import JOURNAL, Journal, read
from assay.trainer import recorder as module
from assay.trainer.default import DefaultTrainer
from assay.trainer.recorder import Recorder
from assay.trainer.state import Progress, StepResult
from assay.trainer.writer import learning_rates


def test_a_record_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    recorder = Recorder(Journal(tmp_path / JOURNAL))
    for step in range(3):
        recorder.record("batch", Progress(epoch=1, step=step, samples=8 * step), {"loss": torch.tensor(0.5), "lr": 0.1})
        *_, last = read(tmp_path / JOURNAL)
        assert (last.id, last.phase, last.epoch, last.step, last.samples) == (step, "batch", 1, step, 8 * step)
        assert last.values == {"loss": 0.5, "lr": 0.1}


def test_numbers_of_any_kind_are_written_with_all_their_digits_and_in_their_order(tmp_path: Path) -> None:
    values = {
        "wide": torch.tensor(math.pi, dtype=torch.float64),
        "host": math.e,
        "whole": 3,
        "many": torch.tensor(7),
        "numpy": np.float64(0.1),
        "none": torch.tensor(math.nan),
        "large": math.inf,
        "low": torch.tensor(-math.inf),
        "parameter": torch.nn.Parameter(torch.tensor(0.25)),
    }
    Recorder(Journal(tmp_path / JOURNAL)).record("train", Progress(), values)
    (record,) = read(tmp_path / JOURNAL)
    assert list(record.values) == list(values)
    assert math.isnan(record.values.pop("none"))
    assert record.values == {
        "wide": math.pi,
        "host": math.e,
        "whole": 3.0,
        "many": 7.0,
        "numpy": 0.1,
        "large": math.inf,
        "low": -math.inf,
        "parameter": 0.25,
    }
    assert b'"whole":3.0' in (tmp_path / JOURNAL).read_bytes()


def test_a_window_of_one_step_holds_what_the_sums_of_it_would(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    alone, summed = (
        [
            record
            for record in read(
                assay.train(tiny({"logging.every": "1ba", "metrics": metrics}), quiet=True).folder.journal
            )
            if record.phase == "batch"
        ]
        for metrics in (["Accuracy"], ["F1", "Accuracy"])
    )
    assert len(alone) == len(summed) > 10
    for one, other in zip(alone, summed, strict=True):
        assert one.values == {name: pytest.approx(other.values[name], abs=1e-12) for name in one.values}
        assert set(one.values) == {"loss", "accuracy", "learning_rate"}
        assert other.values["f1"] >= 0


class Steps:
    """A recorder, steps at moments of our own, and the steps that are in the file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal = Journal(folder / JOURNAL)
        self.recorder = Recorder(self.journal)
        self.now, self.count = 1000.0, 0
        monkeypatch.setattr(module.time, "time", lambda: self.now)

    def make(self, after: float) -> None:
        self.now += after
        self.recorder.step(Progress(step=self.count), Reading(2, {"loss": 0.5}, 2.0), [0.1])
        self.count += 1

    def written(self) -> list[int]:
        return [record.step for record in read(self.journal.path)]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(tmp_path, monkeypatch)


def test_a_step_is_in_the_file_at_once_unless_the_last_write_was_just_now(steps: Steps) -> None:
    for number in range(3):
        steps.make(after=0.06)
        assert steps.written() == list(range(number + 1))
    for _ in range(4):
        steps.make(after=0.011)
        assert steps.written() == [0, 1, 2]
    steps.make(after=0.011)
    assert steps.written() == list(range(8))


def test_no_more_than_a_few_steps_wait_however_fast_they_are(steps: Steps) -> None:
    for _ in range(500):
        steps.make(after=1e-5)
        assert steps.count - len(steps.written()) < 128
    assert len(steps.written()) > 300


def test_a_clock_that_is_set_back_delays_nothing(steps: Steps) -> None:
    steps.make(after=0.0)
    steps.make(after=-3600.0)
    assert steps.written() == [0, 1]


def test_what_is_recorded_otherwise_comes_after_the_steps_before_it_and_times_are_those_of_the_steps(
    steps: Steps,
) -> None:
    for _ in range(3):
        steps.make(after=0.001)
    steps.recorder.record("validation", Progress(step=3), {"loss": 0.25})
    found = list(read(steps.journal.path))
    assert [record.phase for record in found] == ["batch"] * 3 + ["validation"]
    assert [record.id for record in found] == [0, 1, 2, 3]
    assert [record.time for record in found[:3]] == pytest.approx([1000.001, 1000.002, 1000.003], abs=1e-9)
    steps.make(after=0.001)
    steps.recorder.flush(wait=False)
    assert len(steps.written()) == 4
    steps.recorder.flush()
    assert len(steps.written()) == 5


def test_a_disk_that_refuses_several_steps_is_told_once_and_takes_none_of_them(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.make(after=0.0)
    steps.make(after=0.001)
    steps.make(after=0.001)
    with monkeypatch.context() as context:
        context.setattr("os.write", lambda descriptor, content: 10)
        with pytest.raises(StorageError):
            steps.recorder.flush()
    assert steps.written() == [0]
    steps.recorder.flush()
    steps.make(after=0.06)
    assert [(record.id, record.step) for record in read(steps.journal.path)] == [(0, 0), (1, 3)]


class Breaking(DefaultTrainer):
    """Fails at the sixth step; its evaluations look at what is in the journal."""

    seen: list[int]
    folder: Path
    last = 5

    def train_step(self, batch: Any) -> StepResult:
        if self.progress.step == self.last:
            raise ZeroDivisionError("the sixth step")
        return super().train_step(batch)

    def evaluate_step(self, batch: Any) -> StepResult:
        (journal,) = self.folder.rglob(JOURNAL)
        self.seen.append(max(record.step for record in read(journal) if record.phase == "batch"))
        return super().evaluate_step(batch)


def test_an_error_of_a_step_loses_no_record_of_those_before_it(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(AssayError, match="the sixth step"):
        assay.train(tiny({"logging.every": "1ba", "trainer.type": Breaking}), quiet=True, preflight=False)
    (journal,) = project.rglob(JOURNAL)
    assert [record.step for record in read(journal)] == [1, 2, 3, 4, 5]


def test_an_evaluation_finds_all_steps_before_it_in_the_file(
    project: Path, tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"seen": [], "folder": project, "last": -1}.items():
        monkeypatch.setattr(Breaking, name, value, raising=False)
    every = {"logging.every": "1ba", "validation.every": "3ba", "trainer.args": {"max_steps": 9}}
    assay.train(tiny({**every, "trainer.type": Breaking}), quiet=True, preflight=False)
    assert [step for step in (3, 6, 9) if step in Breaking.seen] == [3, 6, 9]
    assert set(Breaking.seen) <= {3, 6, 9}


def test_a_rate_that_is_a_tensor_is_read_when_it_is_used() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    parameters = [{"params": [torch.zeros(1, requires_grad=True)]}, {"params": [torch.zeros(1, requires_grad=True)]}]
    trainer: Any = SimpleNamespace(optimizer=torch.optim.SGD(parameters, lr=rate))
    rates = learning_rates(trainer)
    rate.fill_(0.5)
    assert rates == [0.1, 0.1]
