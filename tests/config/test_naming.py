from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.config.components import Allowed, Refused, find, locate
from assay.config.naming import nearest_component
from assay.errors import Problem
from assay.experiment.catalog import KINDS


def refused(kind: str, name: str, root: Path = Path("/nowhere")) -> Problem:
    with pytest.raises(Refused) as caught:
        find(KINDS[kind], name, Allowed(root), KINDS.values())
    return caught.value.problem


@pytest.mark.parametrize(
    ("kind", "name", "other", "section"),
    [
        ("model", "CrossEntropyLoss", "a loss", "loss"),
        ("model", "torch.nn:CrossEntropyLoss", "a loss", "loss"),
        ("model", "torch.nn.CrossEntropyLoss", "a loss", "loss"),
        ("model", "torch.nn.modules.loss:CrossEntropyLoss", "a loss", "loss"),
        ("model", "assay.model.losses.soft_cross_entropy:SoftCrossEntropyLoss", "a loss", "loss"),
        ("model", "torch.optim.Adam", "an optimizer", "optimizer"),
        ("model", "Digits", "a dataset", "data.dataset"),
        ("loss", "Accuracy", "a metric", "metrics"),
        ("loss", "ResNet", "a model", "model"),
        ("optimizer", "StepLR", "a scheduler", "schedulers"),
        ("scheduler", "torch.optim:SGD", "an optimizer", "optimizer"),
        ("metric", "torch.nn:MSELoss", "a loss", "loss"),
        ("dataset", "BatchLoader", "a loader", "data.loader"),
        ("transform", "TensorBoardLogger", "a logger", "loggers"),
        ("logger", "DefaultTrainer", "a trainer", "trainer"),
        ("trainer", "Resize", "a transform", "data.transforms"),
    ],
)
def test_a_component_in_the_wrong_slot_is_told_what_it_is(kind: str, name: str, other: str, section: str) -> None:
    problem = refused(kind, name)
    assert problem.message.startswith(f"{name!r} is {other}, and ")
    assert problem.hint == f"put it under {section}"


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("loss", "cross_entropy", "CrossEntropyLoss"),
        ("loss", "nll_loss", "NLLLoss"),
        ("loss", "CrossEntropy", "CrossEntropyLoss"),
        ("loss", "mse", "MSELoss"),
        ("loss", "nn.CrossEntropyLoss", "CrossEntropyLoss"),
        ("loss", "torch.nn.functional:cross_entropy", "CrossEntropyLoss"),
        ("optimizer", "adam", "Adam"),
        ("optimizer", "AdmaW", "AdamW"),
        ("optimizer", "optim.SGD", "SGD"),
        ("scheduler", "cosine", "CosineAnnealingLR"),
        ("scheduler", "plateau", "ReduceLROnPlateau"),
        ("scheduler", "StepLr", "StepLR"),
        ("logger", "tensorboard", "TensorBoardLogger"),
        ("metric", "acc", "Accuracy"),
        ("metric", "top_k_acc", "TopKAccuracy"),
        ("dataset", "cifar-10", "CIFAR10"),
        ("model", "Resnet", "ResNet"),
    ],
)
def test_the_name_that_was_meant_is_said(kind: str, name: str, meant: str) -> None:
    assert refused(kind, name).hint == f"did you mean {meant!r}?"


def test_a_loosely_written_name_of_another_slot_is_led_there() -> None:
    assert refused("model", "cross_entropy").hint == "'CrossEntropyLoss' is a loss: put it under loss"
    assert "scheduler" not in refused("model", "torch.nn:Linear").hint


def test_what_is_like_nothing_gets_no_wrong_hint() -> None:
    assert nearest_component("xyzzy", ["ResNet", "LeNet"]) == ""
    assert "did you mean" not in refused("loader", "torch.hub.load").hint


def test_a_metric_of_ones_own_is_no_model(project: Path) -> None:
    (project / "own_slots.py").write_text(
        "from assay.model.metrics.base import BaseMetric\n"
        "class Worst(BaseMetric):\n    def forward(self, output, target): return target\n"
    )
    assert (
        refused("model", "own_slots:Worst", project).message
        == "'own_slots:Worst' is a metric, and a model belongs here"
    )
    assert (
        refused("loss", "own_slots:Worst", project).message == "'own_slots:Worst' is a metric, and a loss belongs here"
    )
    assert find(KINDS["metric"], "own_slots:Worst", Allowed(project), KINDS.values())


def test_a_transform_that_is_a_module_is_a_transform(project: Path) -> None:
    (project / "own_transforms.py").write_text(
        "from torch import nn\nclass Flip(nn.Module):\n    def forward(self, image): return image\n"
    )
    assert find(KINDS["transform"], "own_transforms:Flip", Allowed(project), KINDS.values())


def test_a_module_that_fails_says_which_statement_of_the_project(project: Path) -> None:
    (project / "own_inner.py").write_text("import json\n\njson.loads('{')\n")
    (project / "own_outer.py").write_text("import os\nimport own_inner\n")
    (project / "own_missing.py").write_text("\nimport not_installed_anywhere.part\n")
    found = refused("model", "own_outer:Net", project).found
    assert found.startswith("JSONDecodeError: ")
    assert found.endswith(f" at {project / 'own_inner.py'}:3")
    problem = refused("model", "own_missing:Net", project)
    assert problem.found.endswith(f" at {project / 'own_missing.py'}:2")
    assert problem.hint == "install what provides 'not_installed_anywhere', or correct the import"


def test_nothing_is_imported_to_say_what_was_meant() -> None:
    program = """
import sys
from pathlib import Path
from assay.config.components import Allowed, Refused, locate
from assay.experiment.catalog import KINDS
names = ("CrossEntropyLos", "torch.nn:CrossEntropyLoss", "adam", "torchvision.datasets:MNIST")
for name in names:
    try:
        locate(KINDS["model"], name, Allowed(Path("/nowhere")), KINDS.values())
    except Refused as refused:
        assert refused.problem.hint, name
assert not {"torch", "torchvision", "torchmetrics"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert locate(KINDS["loss"], "torch.nn.CrossEntropyLoss", Allowed(Path("/nowhere")), KINDS.values())
