"""Whether a resume is exact is proved on the configuration itself, and where it is not, what differs first is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import assay
from assay.errors import AssayError, ConfigError
from assay.experiment.departures import compared
from assay.experiment.resume_check import Plan
from assay.store.run_folder import RunFolder
from assay.trainer.checkpoint import Checkpoints

Tiny = Callable[..., dict[str, Any]]

# What torch and assay know nothing of: a generator that no object holds.
DRAWS = """
import numpy as np
import torch
from torch import nn

GENERATOR = np.random.default_rng(0)

class Net(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.last = nn.Linear(64, num_classes)

    def forward(self, x):
        noise = torch.from_numpy(GENERATOR.normal(size=(len(x), 64))).float()
        return self.last(x.flatten(1) + 0.1 * noise)
"""


@pytest.mark.slow
def test_a_training_whose_randomness_is_torchs_own_is_proved_exact_with_other_workers(
    project: Path, tiny: Tiny
) -> None:
    changes = {"trainer.args.ema": 0.9, "optimizer.args.momentum": 0.9}
    (project / "config.json").write_text(json.dumps(tiny(changes)))
    result = assay.resume_check("config.json", steps=17, workers=2)
    assert result.is_exact, [part.differing for part in result.compared]
    assert 0 < result.resumed_from < result.plan.kill_after
    counts = {part.name: part.count for part in result.compared}
    assert counts["records"] == 17 + 2 + 2 + 1  # batches, epochs, validations, the test of the best
    assert {"weights", "moving average", "optimizer", "schedulers", "generators"} <= counts.keys()
    assert not (project / "saved").exists()
    assert result.folder is None


@pytest.mark.slow
def test_a_model_that_draws_from_a_hidden_generator_is_found_by_the_first_step_that_differs(
    project: Path, tiny: Tiny
) -> None:
    (project / "hidden.py").write_text(DRAWS)
    (project / "config.json").write_text(json.dumps(tiny({"model": "hidden:Net"})))
    command = "import sys; from assay.cli import main; main(['resume-check', 'config.json', '--steps', '12'])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "first: batch at step 7: " in done.stderr  # killed after the 7th, resumed from the 6th
    assert "draw random numbers from torch's own generators" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_training_that_fails_of_itself_says_how_and_keeps_its_exit_code(project: Path, tiny: Tiny) -> None:
    (project / "config.json").write_text(json.dumps(tiny({"optimizer.args.lr": 1e30})))
    with pytest.raises(AssayError, match="ended by itself: the loss is ") as caught:
        assay.resume_check("config.json", steps=12)
    assert caught.value.exit_code == 5


def test_the_kill_comes_between_two_saves_and_before_the_end() -> None:
    for total in range(1, 200):
        for epoch in (1, 7, 24, 300):
            plan = Plan.of(total, epoch)
            assert 0 < plan.kill_after <= plan.steps <= total
            assert plan.every == 1 or plan.kill_after % plan.every
    assert Plan.of(1000, 300).steps == 40
    assert Plan.of(1000, 300, steps=100, kill_after=99).kill_after == 99
    with pytest.raises(ConfigError, match="after the end"):
        Plan.of(1000, 300, steps=10, kill_after=11)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("model", ": 1 of 1,024 numbers, by "),
        ("training", "optimizer.param_groups.0.lr: 0.1 and 0.2"),
        ("state", "python_generator"),
        ("journal", "test at step 12: accuracy "),
        ("missing", "2 records in the whole run, 3 in the resumed one"),
    ],
)
def test_one_bit_that_differs_is_named(project: Path, tiny: Tiny, place: str, told: str) -> None:
    whole, other = (
        assay.train(tiny({"trainer.args.epochs": 1, "data.split": {"validation": 0}, "testing.every": None}))
        for _ in range(2)
    )
    assert not any(part.differing for part in compared(whole.folder, other.folder))
    _change(other.folder, place)
    if place == "missing":
        lines = other.folder.journal.read_text().splitlines()
        other.folder.journal.write_text("\n".join([*lines, lines[-1]]) + "\n")
    differing = [text for part in compared(whole.folder, other.folder) for text in part.differing]
    assert any(told in text for text in differing), differing


def _change(run: RunFolder, place: str) -> None:
    """The run with one thing other than it was."""
    newest = Checkpoints(run.checkpoints).load("last")
    tensors = {name: newest.tensors(name) for name in ("model", "training")}
    state = dict(newest.state)
    if place == "model":
        name = next(iter(tensors["model"]))
        tensors["model"][name].reshape(-1)[3] = torch.nextafter(
            tensors["model"][name].reshape(-1)[3], torch.tensor(9.0)
        )
    if place == "training":
        tensors["training"]["optimizer"]["param_groups"][0]["lr"] = 0.2
    if place == "state":
        state["python_generator"][1][0] += 1
    if place == "journal":
        lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
        lines[-1]["values"]["accuracy"] += 1e-9
        run.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Checkpoints(run.checkpoints).save(newest.step, tensors, state)
