"""The disk of the run folder is full: for the training, for the courier, for both; then there is room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.store.journal import read
from assay.utils.atomic import read_json

pytestmark = pytest.mark.slow
each = pytest.mark.parametrize("trial", ["mongo", "elastic", "mlflow"], indirect=True)

FILLING = """
import resource, time
from pathlib import Path
from assay.trainer.default import DefaultTrainer
from assay.utils.atomic import read_json


def limit(pid, size):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Filling(DefaultTrainer):
    whom = ()

    def train_step(self, batch):
        if self.progress.step == 30 and self.whom:
            end = time.monotonic() + 60
            while not (cursors := list(Path("saved").glob("*/*/courier/*Logger.json"))):
                assert time.monotonic() < end
                time.sleep(0.05)
            if "courier" in self.whom:
                limit(read_json(cursors[0].with_suffix(".lock"))["pid"], 100)
            if "training" in self.whom:
                (journal,) = Path("saved").glob("*/*/journal.jsonl")
                limit(0, journal.stat().st_size + 1000)
        time.sleep(0.02)
        return super().train_step(batch)


class Both(Filling):
    whom = ("training", "courier")


class Courier(Filling):
    whom = ("courier",)
"""


def _train(trial: Any, trainer: str) -> subprocess.CompletedProcess[str]:
    Path("filling.py").write_text(FILLING)
    config = trial.config | {"loggers": [trial.far.logger(trial.name)]}
    config["trainer"] = {**config["trainer"], "type": f"filling:{trainer}"}
    Path("run.json").write_text(json.dumps(config))
    command = [sys.executable, "-c", "from assay.cli import main; main()", "train", "--config", "run.json"]
    environment = os.environ | {"PYTHONPATH": str(Path(assay.__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)


@each
def test_a_courier_that_cannot_write_its_cursor_delivers_all_the_same(trial: Any) -> None:
    result = _train(trial, "Courier")
    assert result.returncode == 0, result.stdout + result.stderr
    trial.run = assay.open("last")
    trial.sync()
    trial.prove()


@each
def test_a_training_that_cannot_write_its_journal_stops_and_is_resumed_as_if_nothing_had_been(trial: Any) -> None:
    result = _train(trial, "Both")
    assert result.returncode not in (0, 1), result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "disk" in result.stderr + result.stdout
    run = assay.open("last")
    assert read_json(run.path / "status.json")["state"] == "failed"
    taken = len(list(read(run.folder.journal)))
    Path("filling.py").write_text(FILLING.replace('("training", "courier")', "()"))
    trial.run = assay.train(resume="last", preflight=False, quiet=True, allow_change=["trainer"])
    assert trial.run.status["state"] == "completed"
    assert 30 <= taken < len(list(read(run.folder.journal)))
    trial.sync()
    trial.prove()
