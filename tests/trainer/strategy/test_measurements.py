"""What one, two and four processes measure against scikit-learn over the true set, which none of them divides."""

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

sys.path.insert(0, str(Path(__file__).parent))
from ranks import result_of, run_ranks

pytestmark = pytest.mark.nightly

Tiny = Callable[..., dict[str, Any]]

# 109 samples in batches of 27: the last has one, which all processes have.
BATCH, SAMPLES = 27, 109

SOURCE = '''
import torch
from torch import nn
from torch.utils.data import Dataset


class Plane(Dataset):
    """Points with two values that follow from them, and noise."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        self.inputs = torch.randn(400, 3, generator=generator)
        noise = torch.randn(400, 2, generator=generator)
        self.targets = self.inputs @ torch.tensor([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]]) + 0.3 * noise

    def __len__(self):
        return 400

    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 2)

    def forward(self, x):
        return self.line(x)
'''


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "measured_parts", raising=False)
    (project / "measured_parts.py").write_text(SOURCE)
    return project


def trained(config: dict[str, Any]) -> Path:
    return assay.train(config, quiet=True, preflight=False).path.absolute()


def measured(config: dict[str, Any], size: int) -> tuple[Path, dict[str, float], Any, Any]:
    """A run of `size` processes, what it recorded of the validation, the outputs and the targets."""
    path = result_of(run_ranks(size, trained, config)) if size > 1 else trained(config)
    run = assay.open(path)
    from assay.experiment.build import open_data

    data = open_data(run._checked()).validation
    assert data is not None
    batches = list(data.batches(0))
    assert sum(len(y) for _, y in batches) == SAMPLES
    assert len(batches[-1][1]) == 1
    inputs, targets = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    with torch.no_grad():
        outputs = run.model("last").double()(inputs.double())
    lines = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["phase"] == "validation"]
    return path, record["values"], outputs.numpy(), targets.numpy()


def config(tiny: Tiny, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    return tiny(
        {
            "folder": str(folder),
            "host.precision": "float64",
            "data.split": {"validation": SAMPLES},
            "data.loader.args": {"batch_size": BATCH},
            "trainer.args": {"epochs": 1, "max_steps": 8},
            "logging": {"every": "1ep", "system": None},
            **changes,
        }
    )


@pytest.mark.parametrize("size", [1, 2, 4])
def test_measurements_of_classes_are_those_of_scikit_learn(mine: Path, tiny: Tiny, size: int) -> None:
    from sklearn import metrics

    family = "torchmetrics.classification:Multiclass"
    names = ["Accuracy", "Precision", "Recall", "F1", "ConfusionMatrix"]
    more = [{"type": f"{family}AUROC"}, {"type": f"{family}AveragePrecision"}, {"type": f"{family}CohenKappa"}]
    path, values, scores, labels = measured(config(tiny, mine / "runs", {"metrics": names + more}), size)
    guesses, classes = scores.argmax(1), range(10)
    shares = torch.from_numpy(scores).softmax(1).numpy()
    whole = {"average": "macro", "zero_division": 0}
    every = [metrics.average_precision_score(labels == c, shares[:, c]) for c in classes]
    expected = {
        "accuracy": metrics.accuracy_score(labels, guesses),
        "precision": metrics.precision_score(labels, guesses, **whole),
        "recall": metrics.recall_score(labels, guesses, **whole),
        "f1": metrics.f1_score(labels, guesses, **whole),
        "multiclass_auroc": metrics.roc_auc_score(labels, shares, multi_class="ovr", average="macro"),
        "multiclass_average_precision": float(np.mean(every)),
        "multiclass_cohen_kappa": metrics.cohen_kappa_score(labels, guesses),
        "loss": metrics.log_loss(labels, shares, labels=list(classes)),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-6), name
    matrix = metrics.confusion_matrix(labels, guesses, labels=list(classes))
    (kept,) = path.glob("media/validation-confusion_matrix-*.json")
    assert json.loads(kept.read_text())["values"] == matrix.tolist()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_measurements_of_numbers_are_those_of_scikit_learn(mine: Path, tiny: Tiny, size: int) -> None:
    from sklearn import metrics

    settings = {
        "data.dataset": "measured_parts:Plane",
        "model": "measured_parts:Line",
        "loss": "MSELoss",
        "optimizer": {"type": "SGD", "args": {"lr": 0.05}},
        "metrics": [
            {"type": "torchmetrics.regression:MeanSquaredError"},
            {"type": "torchmetrics.regression:MeanAbsoluteError"},
            {"type": "torchmetrics.regression:R2Score"},
        ],
    }
    _, values, outputs, targets = measured(config(tiny, mine / "runs", settings), size)
    expected = {
        "mean_squared_error": metrics.mean_squared_error(targets, outputs),
        "mean_absolute_error": metrics.mean_absolute_error(targets, outputs),
        "r2_score": metrics.r2_score(targets, outputs),
        "loss": metrics.mean_squared_error(targets, outputs),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-5), name
