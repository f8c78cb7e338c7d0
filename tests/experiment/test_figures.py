"""The figures that a run leaves, against computations of others."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import assay
from assay.experiment.build import build
from assay.store.journal import read
from assay.trainer.default import DefaultTrainer

Tiny = Callable[..., dict[str, Any]]


def scalars_in_tensorboard(run: Any) -> dict[tuple[str, int], list[float]]:
    (folder,) = glob.glob(str(run.path / "tensorboard"))
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    found: dict[tuple[str, int], list[float]] = {}
    for tag in (tag for tag in events.Tags()["scalars"] if not tag.startswith("system/")):
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(event.value)
    return found


def scalars_in_journal(run: Any) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {}
    for record in read(run.folder.journal):
        for name, value in record.scalars():
            found.setdefault((name, record.step), []).append(float(np.float32(value)))
    return found


def test_figures_of_an_epoch_equal_scikit_learns_over_all_samples_with_a_last_batch_of_one(
    project: Path, tiny: Tiny
) -> None:
    # Of 360 test samples, batches of 359 leave a last batch of one.
    names: list[Any] = ["Accuracy", {"type": "TopKAccuracy", "args": {"k": 3}}]
    for average in ("macro", "micro", "weighted"):
        names.append({"type": "F1", "args": {"average": average, "name": f"f1_{average}"}})
    config = tiny({"metrics": names, "data.loader.args.batch_size": 359, "testing": {"every": "1ep"}})
    run = assay.train(config, quiet=True)
    built = build(run._checked())
    assert built.data.test is not None
    assert [len(target) for _, target in built.data.test.batches(0)] == [359, 1]
    model = run.model("last")
    with torch.no_grad():
        pairs = [(model(inputs).double(), target) for inputs, target in built.data.test.batches(0)]
    output, target = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    guess = output.argmax(1)
    expected = {
        "test/loss": metrics.log_loss(target, output.softmax(1)),
        "test/accuracy": metrics.accuracy_score(target, guess),
        "test/top3_accuracy": metrics.top_k_accuracy_score(target, output, k=3),
        "test/f1_macro": metrics.f1_score(target, guess, average="macro"),
        "test/f1_micro": metrics.f1_score(target, guess, average="micro"),
        "test/f1_weighted": metrics.f1_score(target, guess, average="weighted"),
    }
    assert {name: run.last[name] for name in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("every", ["1ep", "1ba", "5ba"])
def test_tensorboard_holds_every_scalar_of_the_journal_once_and_no_other(project: Path, tiny: Tiny, every: str) -> None:
    config = tiny({"loggers": ["TensorBoardLogger"], "logging": {"every": every}, "testing": {"every": "1ep"}})
    run = assay.train({**config, "metrics": ["Accuracy", "ConfusionMatrix"]}, quiet=True)
    assert scalars_in_tensorboard(run) == scalars_in_journal(run)


def test_tensorboard_follows_a_resume(project: Path, tiny: Tiny) -> None:
    config = tiny({"loggers": ["TensorBoardLogger"], "testing": {"every": "5ep"}})
    run = assay.train(config, quiet=True)
    # The test of the best checkpoint at the end of the short run is cut off again: the longer run has another end.
    run = assay.train(resume=run.path, overrides=["trainer.args.epochs=5"], quiet=True)
    assert scalars_in_tensorboard(run) == scalars_in_journal(run)


RATES: list[tuple[list[dict[str, Any]], list[float]]] = [
    (
        [
            {"type": "DynamicLR", "args": {"values": {"0": 0.1, "4": 0.05}}},
            {"type": "StepLR", "args": {"step_size": 2, "gamma": 0.5}},
        ],
        [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125],
    ),
    ([{"type": "DynamicLR", "args": {"values": {"2": 0.02, "5": 0.4}}}], [0.1] * 2 + [0.02] * 3 + [0.4] * 5),
    (
        [
            {"type": "DynamicLR", "args": {"values": {"0": 0.2, "2": 0.1}}},
            {"type": "CosineAnnealingLR", "args": {"T_max": 8}},
        ],
        [0.2, 0.2, *(0.05 * (1 + np.cos(np.pi * n / 8)) for n in range(8))],
    ),
    (
        [{"type": "DynamicLR", "args": {"values": {"0": 0.2, "3": 0.1}}}, {"type": "schedules:Halving"}],
        [0.2, 0.2, 0.2, *(0.1 / (1 + n) for n in range(7))],
    ),
]


@pytest.mark.parametrize(("schedulers", "expected"), RATES, ids=["design", "alone", "cosine", "lambda"])
def test_the_rate_of_every_epoch_is_in_the_journal_and_in_tensorboard(
    project: Path, tiny: Tiny, schedulers: list[dict[str, Any]], expected: list[float]
) -> None:
    (project / "schedules.py").write_text(
        "from torch.optim.lr_scheduler import LambdaLR\n\n"
        "class Halving(LambdaLR):\n"
        "    def __init__(self, optimizer):\n"
        "        super().__init__(optimizer, lambda n: 1 / (1 + n))\n"
    )
    config = tiny({"schedulers": schedulers, "trainer.args.epochs": 10, "loggers": ["TensorBoardLogger"]})
    run = assay.train(config, quiet=True)
    rates = [record.values["learning_rate"] for record in read(run.folder.journal) if record.phase == "train"]
    assert rates == pytest.approx(expected, rel=1e-12)
    shown = scalars_in_tensorboard(run)
    assert [shown["train/learning_rate", 11 * (n + 1)] for n in range(10)] == [[float(np.float32(r))] for r in rates]


def test_plateau_takes_over_after_the_dynamic_rate_and_goes_by_the_monitored_value(project: Path, tiny: Tiny) -> None:
    schedulers = [
        {"type": "DynamicLR", "args": {"values": {"0": 1e-9, "2": 2e-9}}},
        {"type": "ReduceLROnPlateau", "args": {"factor": 0.1, "patience": 1, "threshold": 0.1, "eps": 0}},
    ]
    run = assay.train(tiny({"schedulers": schedulers, "trainer.args.epochs": 9}), quiet=True)
    rates = [record.values["learning_rate"] for record in read(run.folder.journal) if record.phase == "train"]
    # Nothing moves at such rates: the validation of epoch 2 is the first and best, those of 3 and 4 are bad.
    assert rates == pytest.approx([1e-9] * 2 + [2e-9] * 3 + [2e-10] * 2 + [2e-11] * 2, rel=1e-9)


def test_one_cycle_by_batches_equals_torchs_own(project: Path, tiny: Tiny) -> None:
    schedulers = [{"type": "OneCycleLR", "args": {"max_lr": 0.3}, "unit": "batch"}]
    run = assay.train(tiny({"schedulers": schedulers, "logging.every": "1ba"}), quiet=True)
    rates = [record.values["learning_rate"] for record in read(run.folder.journal) if record.phase == "batch"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=22)
    expected = []
    for step in range(22):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 21:
            cycle.step()
    assert rates == pytest.approx(expected, rel=1e-12)


class Watching(DefaultTrainer):
    """Keeps what the model was given in the run; what it is given on paper before has no numbers."""

    seen: dict[str, list[torch.Tensor]]

    def train_step(self, batch: Any) -> Any:
        if type(batch[0]) is torch.Tensor:
            Watching.seen["train"].append(batch[0])
        return super().train_step(batch)

    def evaluate_step(self, batch: Any) -> Any:
        if type(batch[0]) is torch.Tensor:
            Watching.seen["evaluated"].append(batch[0])
        return super().evaluate_step(batch)


def test_a_training_transform_that_adds_noise_never_touches_validation_and_test(project: Path, tiny: Tiny) -> None:
    Watching.seen = {"train": [], "evaluated": []}
    noise = {"type": "GaussianNoise", "args": {"sigma": 5.0, "clip": False}}
    config = tiny({"data.transforms": {"train": [noise], "test": []}, "testing": {"every": "1ep"}})
    config["trainer"]["type"] = Watching
    assay.train(config, quiet=True)
    clean = torch.arange(17) / 16
    for images in Watching.seen["evaluated"]:
        assert torch.isin(images, clean).all()
    assert not any(torch.isin(images, clean).all() for images in Watching.seen["train"])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_model_sees_the_same_pictures_in_the_same_order_for_any_number_of_workers(
    project: Path, tiny: Tiny, workers: int
) -> None:
    changes = {"data.transforms": {"train": [{"type": "RandomAffine", "args": {"degrees": 20}}], "test": []}}
    seen = []
    for number in (0, workers):
        Watching.seen = {"train": [], "evaluated": []}
        assay.train(tiny({**changes, "trainer.type": Watching, "data.loader.args.workers": number}), quiet=True)
        seen.append(torch.cat(Watching.seen["train"]))
    assert torch.equal(*seen)


def test_killing_the_courier_changes_nothing_and_another_completes_the_rest(project: Path, tiny: Tiny) -> None:
    (project / "dying.py").write_text(
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from assay.trainer.default import DefaultTrainer\n"
        "from assay.utils.atomic import read_json\n\n"
        "class Killing(DefaultTrainer):\n"
        "    def train_step(self, batch):\n"
        "        if self.progress.step == 12:\n"
        "            end = time.monotonic() + 60\n"
        "            while not list(Path('saved').glob('*/tiny*/courier/*.json')):\n"
        "                assert time.monotonic() < end\n"
        "                time.sleep(0.05)\n"
        "            (lock,) = Path('saved').glob('*/*/courier/TensorBoardLogger.lock')\n"
        "            os.kill(read_json(lock)['pid'], signal.SIGKILL)\n"
        "        return super().train_step(batch)\n"
    )
    config = tiny({"loggers": ["TensorBoardLogger"], "logging": {"every": "1ba"}})
    quiet = assay.train({**config, "loggers": []}, quiet=True)
    config["trainer"]["type"] = "dying:Killing"
    run = assay.train(config, quiet=True)
    assert run.status["state"] == "completed"
    one, two = (torch.load(r.folder.checkpoints / "last" / "model.pt", weights_only=True) for r in (quiet, run))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert scalars_in_tensorboard(run) == scalars_in_journal(run)
