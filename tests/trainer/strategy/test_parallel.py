"""One training over several processes against the same training in one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.errors import ConfigError

sys.path.insert(0, str(Path(__file__).parent))
from ranks import TWO_OPTIMIZERS, largest_difference, last_weights, result_of, run_ranks, settings_of_steps

Tiny = Callable[..., dict[str, Any]]

SOURCE = (
    '''
import torch
from torch import nn
from assay.model.metrics.base import BaseMetric
from assay.trainer.default import DefaultTrainer


class Net(nn.Module):
    """Convolutions with BatchNorm, or without."""

    def __init__(self, in_channels: int, num_classes: int, norm: bool = True, unused: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.hidden = nn.Linear(256, 12)
        self.norm1 = nn.BatchNorm1d(12, momentum=None) if norm else nn.Identity()
        self.head = nn.Linear(12, num_classes)
        if unused:
            self.never = nn.Linear(3, 3)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu().flatten(1)
        return self.head(self.norm1(self.hidden(x)).relu())


class Median(BaseMetric):
    """The median of the largest scores: no sum, so it must be shown everything."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def update(self, output, target):
        self.seen.append(output.max(dim=1).values.double())

    def compute(self):
        return torch.cat(self.seen).median()

    def reset(self):
        self.seen = []


class Logged(DefaultTrainer):
    """Writes down which samples it sees, and as what."""

    def train_step(self, batch):
        import os, pathlib
        x, y = batch
        with open(pathlib.Path(os.environ["SEEN"]) / os.environ.get("RANK", "0"), "a") as stream:
            for picture, label in zip(x, y):
                digest = hash(picture.numpy().tobytes())
                stream.write(f"{self.progress.step} {int(label)} {digest}\\n")
        return super().train_step(batch)
'''
    + TWO_OPTIMIZERS
)


def config(tiny: Tiny, folder: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A last batch that neither 2 nor 4 divide."""
    own: dict[str, Any] = {
        "data.transforms.train": [{"type": "RandomCrop", "args": {"size": 8, "padding": 1}}],
        "model": {"type": "parts_of_mine:Net"},
        "metrics": ["Accuracy", "F1", {"type": "TopKAccuracy", "args": {"k": 3}}],
        "optimizer": {"type": "SGD", "args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.001}},
    }
    return tiny(settings_of_steps(folder, 0.1, **{**own, **(changes or {})}))


def trained(config: dict[str, Any]) -> Path:
    return assay.train(config, quiet=True, preflight=False).path.absolute()


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def assert_same_journal(one: Path, other: Path, tolerance: float) -> None:
    assert len(records(one)) == len(records(other))
    for a, b in zip(records(one), records(other), strict=True):
        assert {k: v for k, v in a.items() if k not in ("time", "values")} == {
            k: v for k, v in b.items() if k not in ("time", "values")
        }
        assert a["values"].keys() == b["values"].keys()
        for name, value in a["values"].items():
            assert b["values"][name] == pytest.approx(value, rel=tolerance, abs=tolerance), name


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "parts_of_mine", raising=False)
    (project / "parts_of_mine.py").write_text(SOURCE)
    return project


CASES: dict[str, dict[str, Any]] = {
    "BatchNorm": {},
    "no BatchNorm, float32": {
        "host.precision": "float32",
        "model": {"type": "parts_of_mine:Net", "args": {"norm": False}},
    },
    "clipped, averaged, scheduled": {
        "trainer.args": {"epochs": 1, "max_steps": 20, "clip": 0.5, "ema": 0.9},
        "schedulers": [{"type": "CosineAnnealingLR", "args": {"T_max": 20}, "unit": "batch"}],
    },
    "micro-batches": {"trainer.args": {"epochs": 1, "max_steps": 20, "accumulate": 3}},
    "class weights and ignored targets": {
        "loss": {"type": "CrossEntropyLoss", "args": {"weight": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1.0], "ignore_index": 3}},
        "trainer.args": {"epochs": 1, "max_steps": 20, "accumulate": 2},
    },
    "a loss that is a sum": {
        "loss": {"type": "CrossEntropyLoss", "args": {"reduction": "sum"}},
        "optimizer": {"type": "SGD", "args": {"lr": 0.002}},
    },
    "AdamW, a layer that nobody uses": {
        "model": {"type": "parts_of_mine:Net", "args": {"norm": False, "unused": True}},
        "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
    },
    "two optimizers": {
        "trainer": {"type": "parts_of_mine:TwoOptimizers", "args": {"epochs": 1, "max_steps": 20}},
    },
    "the last batch is smaller than the world": {
        # 1,206 samples: the last batch has 3.
        "data.split": {"validation": 231},
        "data.loader.args": {"batch_size": 401},
        "trainer.args": {"epochs": 4},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [2, 4])
def test_processes_that_share_a_batch_end_where_one_does(mine: Path, tiny: Tiny, name: str, size: int) -> None:
    one = trained(config(tiny, mine / "one", CASES[name]))
    several = result_of(run_ranks(size, trained, config(tiny, mine / "several", CASES[name])))
    bound = 1e-4 if "float32" in name else 1e-10
    assert largest_difference(last_weights(one), last_weights(several)) <= bound
    assert_same_journal(one, several, bound)


@pytest.mark.slow
def test_a_batch_is_the_same_samples_in_the_same_order_and_augmentation(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    settings = {"trainer": {"type": "parts_of_mine:Logged", "args": {"epochs": 2, "max_steps": 40}}}
    seen: list[list[str]] = []
    for size in (1, 2, 4):
        folder = mine / f"seen{size}"
        folder.mkdir()
        monkeypatch.setenv("SEEN", str(folder))
        result_of(run_ranks(size, trained, config(tiny, mine / "runs", settings)))
        parts = [(folder / str(rank)).read_text().splitlines() for rank in range(size)]
        steps = [[line for part in parts for line in part if line.startswith(f"{step} ")] for step in range(40)]
        seen.append([line for step in steps for line in step])
    assert len(seen[0]) == 1293 + 14 * 50
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.slow
def test_measurements_are_those_of_scikit_learn_over_the_true_set(mine: Path, tiny: Tiny) -> None:
    from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score, top_k_accuracy_score

    settings = {
        "metrics": [
            "Accuracy",
            {"type": "TopKAccuracy", "args": {"k": 3}},
            "Precision",
            "Recall",
            "F1",
            "ConfusionMatrix",
            {"type": "torchmetrics.classification:MulticlassAUROC"},
            {"type": "torchmetrics.classification:MulticlassMatthewsCorrCoef"},
            {"type": "parts_of_mine:Median"},
        ],
        # The last batch of the validation has one sample, which both processes have.
        "data.loader.args": {"batch_size": 43},
        "data.split": {"validation": 2 * 43 + 1},
        "trainer.args": {"epochs": 1, "max_steps": 6},
        "logging": {"every": "1ep", "system": None},
    }
    path = result_of(run_ranks(2, trained, config(tiny, mine / "runs", settings)))
    run = assay.open(path)
    from assay.experiment.build import open_data

    data = open_data(run._checked()).validation
    assert data is not None
    batches = list(data.batches(0))
    assert [len(y) for _, y in batches] == [43, 43, 1]
    inputs, labels = torch.cat([x for x, _ in batches]), np.concatenate([y.numpy() for _, y in batches])
    with torch.no_grad():
        scores = run.model("last").double()(inputs.double()).numpy()
    guesses = scores.argmax(1)
    values = [r for r in records(path) if r["phase"] == "validation"][-1]["values"]
    expected = {
        "accuracy": (guesses == labels).mean(),
        "top3_accuracy": top_k_accuracy_score(labels, scores, k=3),
        "precision": precision_score(labels, guesses, average="macro", zero_division=0),
        "recall": recall_score(labels, guesses, average="macro", zero_division=0),
        "f1": f1_score(labels, guesses, average="macro", zero_division=0),
        "multiclass_auroc": roc_auc_score(
            labels, torch.from_numpy(scores).softmax(1).numpy(), multi_class="ovr", average="macro"
        ),
        "median": float(torch.from_numpy(scores.max(1)).median()),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-6), name


def test_a_batch_that_is_smaller_than_the_world_is_a_mistake(mine: Path, tiny: Tiny) -> None:
    results = run_ranks(2, trained, config(tiny, mine / "runs", {"data.loader.args": {"batch_size": 1}}))
    assert all(isinstance(error, ConfigError) and error.exit_code == 2 for error in results)
    assert "at least 2 for 2 processes" in str(results[0])
