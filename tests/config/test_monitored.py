from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.config.binding import Bound
from assay.config.check import check
from assay.config.components import Allowed, find
from assay.config.load import load
from assay.errors import ConfigError, Problem
from assay.experiment.catalog import KINDS
from assay.model.metrics.building import as_metric

Tiny = Callable[..., dict[str, Any]]
METRICS = ["Accuracy", {"type": "TopKAccuracy", "args": {"k": 3}}, "F1Score", "ConfusionMatrix"]


def test_of_two_metrics_with_one_name_the_second_is_told_together_with_other_mistakes(tiny: Tiny) -> None:
    metrics = ["Accuracy", "F1", {"type": "torchmetrics:Accuracy"}, {"type": "F1", "args": {"average": "micro"}}]
    found = {problem.key: problem.message for problem in problems(tiny({"metrics": metrics, "loss": "L2Loss"}))}
    assert found == {"loss.type": "no loss is named 'L2Loss'", "metrics.2": "two measurements are named 'accuracy'"}


def test_a_metric_that_is_wrong_itself_is_not_told_twice(tiny: Tiny) -> None:
    wrong = {"type": "TopKAccuracy", "args": {"k": 5.5}}
    (problem,) = problems(tiny({"metrics": ["TopKAccuracy", wrong]}))
    assert problem.key == "metrics.1.args.k"


def problems(config: dict[str, Any], *overrides: str, root: Path = Path("/nowhere")) -> list[Problem]:
    try:
        check(load(config, overrides), KINDS, Allowed(root))
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("val_acc", "max validation/accuracy"),
        ("val_accuracy", "max validation/accuracy"),
        ("max val_acc", "max validation/accuracy"),
        ("min val_loss", "min validation/loss"),
        ("val_loss", "min validation/loss"),
        ("loss", "min validation/loss"),
        ("train_loss", "min train/loss"),
        ("validation/acc", "max validation/accuracy"),
        ("max validation/acc", "max validation/accuracy"),
        ("max validation/Accuracy", "max validation/accuracy"),
        ("max val/top3", "max validation/top3_accuracy"),
        ("max validation/f1", "max validation/f1_score"),
        ("test_acc", "max validation/accuracy"),
        ("off", "min validation/loss"),
    ],
)
def test_what_nobody_measures_is_told_with_what_was_meant(monitor: str, hint: str, tiny: Tiny) -> None:
    (problem,) = problems(tiny({"metrics": METRICS, "trainer.args.monitor": monitor}))
    assert problem.key == "trainer.args.monitor"
    if monitor != "max validation/f1":
        assert problem.hint == f'did you mean "{hint}"?'


def test_the_names_that_can_be_monitored_are_listed(tiny: Tiny) -> None:
    (problem,) = problems(tiny({"metrics": METRICS, "trainer.args.monitor": "max validation/precison"}))
    assert problem.message == "nothing measures 'validation/precison'"
    assert problem.expected == "validation/loss, validation/accuracy, validation/top3_accuracy, validation/f1_score"


def test_a_metric_that_is_only_missing_can_be_added(tiny: Tiny) -> None:
    (problem,) = problems(tiny({"metrics": [], "trainer.args.monitor": "max validation/accuracy"}))
    assert problem.hint == 'add "Accuracy" to metrics'


@pytest.mark.parametrize(
    "monitor",
    [
        "min validation/loss",
        "max validation/accuracy",
        "max train/top3_accuracy",
        "max validation/f1_score/0",
        "min train/learning_rate",
    ],
)
def test_what_is_measured_can_be_monitored(monitor: str, tiny: Tiny) -> None:
    assert not problems(tiny({"metrics": METRICS, "trainer.args.monitor": monitor}))


def test_a_matrix_cannot_be_monitored(tiny: Tiny) -> None:
    (problem,) = problems(tiny({"metrics": METRICS, "trainer.args.monitor": "max validation/confusion_matrix"}))
    assert problem.message == "nothing measures 'validation/confusion_matrix'"


def test_a_metric_of_ones_own_says_itself_what_it_is_called(tiny: Tiny, project: Path) -> None:
    (project / "own_metrics.py").write_text(
        "from assay.model.metrics.base import BaseMetric\n"
        "class Worst(BaseMetric):\n    def forward(self, output, target): return target\n"
    )
    config = tiny({"metrics": ["own_metrics:Worst"], "trainer.args.monitor": "max validation/anything"})
    assert not problems(config, root=project)


def test_what_is_not_held_back_is_not_monitored(tiny: Tiny) -> None:
    config = tiny({"data.split": {"validation": 0}, "trainer.args.monitor": "min validation/loss"})
    (problem,) = problems(config)
    assert problem.message == "nothing is held back for validation, and 'min validation/loss' is measured there"
    config["trainer"]["args"]["monitor"] = "min train/loss"
    assert not problems(config)


def test_the_name_told_beforehand_is_the_one_that_is_recorded() -> None:
    kind, given = KINDS["metric"], {"num_classes": 10, "task": "multiclass", "num_labels": 3}
    assert kind.measures is not None
    compared = []
    for name in kind.names():
        try:
            metric = as_metric(Bound(name, find(kind, name, Allowed(Path("/nowhere")))).build(**given), name)
        except Exception:
            continue  # it needs arguments, or gives no number
        compared.append((name, kind.measures(name, {}) or metric.name, metric.name))
    assert [name for name, told, recorded in compared if told != recorded] == []
    assert len(compared) > 80


@pytest.mark.parametrize(
    ("name", "args", "recorded"),
    [
        ("Accuracy", {"name": "hits"}, "hits"),
        ("TopKAccuracy", {}, "top5_accuracy"),
        ("TopKAccuracy", {"k": 2}, "top2_accuracy"),
        ("F1", {"average": "micro"}, "f1_micro"),
        ("Recall", {"average": "macro"}, "recall"),
    ],
)
def test_arguments_change_what_a_metric_is_recorded_as(name: str, args: dict[str, Any], recorded: str) -> None:
    kind = KINDS["metric"]
    assert kind.measures is not None
    assert kind.measures(name, args) == recorded
    bound = Bound(name, find(kind, name, Allowed(Path("/nowhere"))), args)
    assert as_metric(bound.build(num_classes=10), name).name == recorded
