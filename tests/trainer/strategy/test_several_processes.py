"""What becomes of a run of several processes that is stopped, killed or fails, and who tells it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import AssayError, Interrupted, NonFiniteError, RankLostError

sys.path.insert(0, str(Path(__file__).parent))
from ranks import free_port, largest_difference, last_weights, result_of, run_ranks

pytestmark = pytest.mark.nightly

Tiny = Callable[..., dict[str, Any]]

SOURCE = '''
import os, signal
import torch
from torch import nn
from assay.trainer.default import DefaultTrainer


class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.hidden, self.norm, self.drop = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Dropout(0.2)
        self.head = nn.Linear(12, num_classes)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.hidden(x.flatten(1))).relu()))


class Acting(DefaultTrainer):
    """Does at a step, on a rank and in an attempt what the environment says: `what step rank`."""

    def train_step(self, batch):
        what, step, rank = os.environ.get("ACT", "nothing 0 0").split()
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
        if first and self.progress.step == int(step) and rank in (os.environ.get("RANK", "0"), "9"):
            if what == "raise":
                raise ValueError("broken on purpose")
            if what == "nan":
                batch = (batch[0] * float("nan"), batch[1])
            if what.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, what))
        return super().train_step(batch)
'''


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "acting_parts", raising=False)
    (project / "acting_parts.py").write_text(SOURCE)
    (project / "train.py").write_text("import sys\nfrom assay.cli import main\n\nmain(['train', *sys.argv[1:]])\n")
    return project


def config(tiny: Tiny, folder: Path) -> dict[str, Any]:
    """42 steps of 2 epochs; a checkpoint after every fifth."""
    return tiny(
        {
            "folder": str(folder),
            "host.precision": "float64",
            "data.loader.args": {"batch_size": 64},
            "model": {"type": "acting_parts:Net"},
            "metrics": ["Accuracy", "F1", {"type": "torchmetrics.classification:MulticlassCalibrationError"}],
            "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
            "trainer": {"type": "acting_parts:Acting", "args": {"epochs": 2, "ema": 0.9, "accumulate": 2}},
            "checkpoints": {"every": "5ba"},
            "logging": {"every": "1ba", "system": None},
        }
    )


def trained(config: dict[str, Any] | None, resume: str | None = None) -> Path:
    return assay.train(config, resume=resume, quiet=True, preflight=False).path.absolute()


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("*/*")
    return run


def lines(run: Path) -> list[dict[str, Any]]:
    kept = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in kept]


def test_a_run_that_was_killed_in_an_epoch_and_resumed_is_the_whole_run_to_the_bit(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole")))
    monkeypatch.setenv("ACT", "SIGKILL 28 9")
    assert run_ranks(2, trained, config(tiny, mine / "killed")) == [-9, -9]
    monkeypatch.delenv("ACT")
    run = only_run(mine / "killed")
    result_of(run_ranks(2, trained, None, str(run)))
    assert largest_difference(last_weights(whole), last_weights(run)) == 0.0
    assert lines(whole) == lines(run)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
def test_a_checkpoint_of_one_number_of_processes_resumes_on_another(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    settings = config(tiny, mine / "whole")
    settings["model"] = {"type": "MLP", "args": {"hidden": [8]}}  # dropout has other numbers on other ranks
    whole = trained(settings)
    monkeypatch.setenv("ACT", "SIGKILL 28 9")
    assert set(run_ranks(before, trained, settings | {"folder": str(mine / "killed")})) == {-9}
    monkeypatch.delenv("ACT")
    run = only_run(mine / "killed")
    result_of(run_ranks(after, trained, None, str(run)))
    assert largest_difference(last_weights(whole), last_weights(run)) < 1e-10
    one, other = lines(whole), lines(run)
    assert [line["step"] for line in one] == [line["step"] for line in other]
    for a, b in zip(one, other, strict=True):
        assert a["values"] == pytest.approx(b["values"], abs=1e-6)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_to_one_rank_stops_all_at_the_same_step_and_loses_none(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    monkeypatch.setenv("ACT", f"{name} 11 1")
    results = run_ranks(2, trained, config(tiny, mine / "stopped"))
    assert all(isinstance(error, Interrupted) and error.exit_code == code for error in results)
    run = only_run(mine / "stopped")
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"]) == ("interrupted", 12)
    monkeypatch.delenv("ACT")
    result_of(run_ranks(2, trained, None, str(run)))
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole")))
    assert largest_difference(last_weights(whole), last_weights(run)) == 0.0
    assert lines(whole) == lines(run)


def test_a_number_that_is_not_finite_on_one_rank_stops_all_before_the_update_and_names_its_samples(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACT", "nan 7 1")
    settings = config(tiny, mine / "runs")
    settings["model"] = {"type": "MLP", "args": {"hidden": [8]}}  # statistics of BatchNorm take it to every rank
    results = run_ranks(2, trained, settings)
    assert all(isinstance(error, NonFiniteError) and error.exit_code == 5 for error in results)
    run = assay.open(only_run(mine / "runs"))
    from assay.data.loaders.division import Division
    from assay.experiment.build import open_data

    data = open_data(run._checked()).train
    data.division = Division(1, 2, 32)
    assert results[0].message.startswith("rank 1 of 2: the loss is nan at step 7")
    assert f"samples {', '.join(map(str, data.rows(0, 7)[:8]))}" in results[0].found
    assert run.status["state"] == "failed"


def test_an_error_on_one_rank_ends_all_and_the_first_tells_whose_it_was(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACT", "raise 7 1")
    results = run_ranks(2, trained, config(tiny, mine / "runs"), timeout=60)
    assert all(isinstance(error, AssayError) and error.exit_code == 2 for error in results)
    assert "rank 1 of 2" in str(results[0].head)
    assert "ValueError: broken on purpose" in str(results[0])


def test_a_rank_that_is_killed_ends_the_others_at_once(mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACT", "SIGKILL 7 1")
    first, second = run_ranks(2, trained, config(tiny, mine / "runs"), timeout=60)
    assert isinstance(first, RankLostError)
    assert second == -signal.SIGKILL


def test_early_stopping_and_the_best_are_the_same_for_all(mine: Path, tiny: Tiny) -> None:
    settings = config(tiny, mine / "runs")
    settings["trainer"]["args"] |= {"epochs": 9, "early_stopping": {"patience": 1, "min_delta": 10.0}}
    run = result_of(run_ranks(2, trained, settings))
    status = json.loads((run / "status.json").read_text())
    assert status["reason"].startswith("early stopping")
    assert status["step"] == 42


def launch(mine: Path, settings: dict[str, Any], *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (mine / "c.json").write_text(json.dumps(settings))
    source = str(Path(assay.__file__).parents[1])
    port = str(free_port())
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    command += [*options, "train.py", "--config", "c.json", "--no-preflight"]
    given = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=mine, env=given, capture_output=True, encoding="utf-8", timeout=200, check=False)


def test_torchrun_starts_a_killed_training_again_and_it_goes_on_in_its_own_run(mine: Path, tiny: Tiny) -> None:
    settings = config(tiny, mine / "again")
    done = launch(mine, settings, "--max-restarts", "3", ACT="SIGKILL 28 1")
    assert done.returncode == 0, done.stderr
    run = only_run(mine / "again")
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "completed"
    assert [entry["step"] for entry in status["resumed"]] == [25]
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole")))
    assert largest_difference(last_weights(whole), last_weights(run)) == 0.0
    assert lines(whole) == lines(run)
    assert done.stdout.count("completed (2 epochs)") == 1


def test_torchrun_prints_an_error_once_and_ends_with_it(mine: Path, tiny: Tiny) -> None:
    settings = config(tiny, mine / "told")
    settings["model"] = {"type": "MLP", "args": {"hidden": [8]}}
    failed = launch(mine, settings, ACT="nan 7 1")
    told = "rank 1 of 2: the loss is nan at step 7 (epoch 0, batch 7); the update was not made"
    assert failed.stderr.count(f"error: {told}") == 1
    assert failed.stderr.count(told) == 2  # once more in the launcher's summary, as the cause
    assert told in failed.stderr.partition("Root Cause")[2]
    assert failed.stderr.count("see rank 0") == 1
    wrong = launch(mine, settings | {"optimizer": {"type": "SGD", "args": {"lr": -3}}})
    assert wrong.stderr.count("error: 'lr' of 'SGD' is out of range") == 1
    assert "'lr' of 'SGD' is out of range" in wrong.stderr.partition("Root Cause")[2]
