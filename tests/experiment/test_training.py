"""Whole runs on the digits, small enough to be done in a second each."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import assay
from assay.errors import ConfigError, DataError, Interrupted, NonFiniteError, RunBusyError
from assay.experiment.build import build
from assay.store.journal import read
from assay.trainer.default import DefaultTrainer

Tiny = Callable[..., dict[str, Any]]


def train(config: dict[str, Any], **settings: Any) -> Any:
    return assay.train(config, quiet=True, **settings)


def lines(run: Any) -> list[dict[str, Any]]:
    """The journal without its times."""
    found = [json.loads(line) for line in run.folder.journal.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in found]


def weights(run: Any, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run.folder.checkpoints / name / "model.pt", weights_only=True)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_leaves_a_complete_folder(project: Path, tiny: Tiny) -> None:
    (project / "nets.py").write_text("from assay.model.architectures.mlp import MLP\n\nclass Mine(MLP):\n    pass\n")
    run = train(tiny({"loggers": ["TensorBoardLogger"], "model": "nets:Mine"}))
    assert (run.folder.code / "nets.py").read_text() == (project / "nets.py").read_text()
    names = {path.name for path in run.path.iterdir()}
    assert names >= {
        "config.json",
        "config.origin.json",
        "status.json",
        "environment.json",
        "code",
        "transforms.json",
        "journal.jsonl",
        "measurements.json",
        "checkpoints",
        "media",
        "courier",
        "run.lock",
        "tensorboard",
    }
    assert run.status["state"] == "completed"
    assert run.best.keys() >= {"train/loss", "validation/accuracy", "test/accuracy"}


def test_a_run_writes_only_under_its_own_folder(project: Path, tiny: Tiny) -> None:
    (project / "notes.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    run = train(tiny({"loggers": ["TensorBoardLogger"]}))
    own = run.path.resolve()
    new = [path for path in project.rglob("*") if path not in before and not path.is_relative_to(own)]
    assert [path for path in new if path not in (project / "saved", project / "saved" / "tests")] == []
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_the_same_run_twice_gives_the_same_figures_to_the_last_digit(project: Path, tiny: Tiny) -> None:
    config = tiny({"logging.every": "1ba", "metrics": ["Accuracy", "F1"]})
    one, two = train(config), train(config)
    assert lines(one) == lines(two)
    assert same(weights(one), weights(two))


def test_another_seed_gives_other_figures(project: Path, tiny: Tiny) -> None:
    assert lines(train(tiny())) != lines(train(tiny({"seed": 1})))


def test_evaluating_more_often_leaves_the_weights_as_they_are(project: Path, tiny: Tiny) -> None:
    config = {"model.args.dropout": 0.5}
    often = train(tiny({**config, "validation.every": "3ba", "testing.every": "2ba"}))
    assert same(weights(train(tiny(config))), weights(often))


class StopAt(DefaultTrainer):
    """Gets a signal at one step, as from outside."""

    def __init__(self, parts: Any, *, stop_at: int = -1, number: int = signal.SIGTERM, **settings: Any) -> None:
        super().__init__(parts, **settings)
        self.stop_at, self.number = stop_at, number

    def train_step(self, batch: Any) -> Any:
        if self.progress.step == self.stop_at and type(batch[0]) is torch.Tensor:  # not on paper
            os.kill(os.getpid(), self.number)
        return super().train_step(batch)


RICH: dict[str, Any] = {
    "seed": 3,
    "model.args.dropout": 0.3,
    "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
    "schedulers": [
        {"type": "DynamicLR", "args": {"values": {"0": 0.01, "1": 0.005}}},
        {"type": "CosineAnnealingLR", "args": {"T_max": 4}},
    ],
    "metrics": ["Accuracy", "F1", {"type": "MulticlassAUROC"}],
    "logging.every": "4ba",
    "trainer.args.epochs": 3,
    "trainer.args.ema": 0.9,
    "trainer.args.clip": 1.0,
    "testing.every": "2ep",
    "data.transforms": {"train": [{"type": "RandomCrop", "args": {"size": 8, "padding": 1}}], "test": []},
}


@pytest.mark.parametrize("stop_at", [0, 5, 10, 11, 20])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(project: Path, tiny: Tiny, stop_at: int) -> None:
    whole = train(tiny(RICH))
    with pytest.raises(Interrupted) as caught:
        train(tiny({**RICH, "trainer.type": StopAt, "trainer.args.stop_at": stop_at}))
    assert caught.value.exit_code == 143
    stopped = assay.open("last")
    assert stopped.status["state"] == "interrupted"
    assert stopped.status["step"] == stop_at + 1
    # The signal is no part of the run: it is resumed by the trainer without it.
    resumed = train(tiny(RICH), resume=stopped.path, allow_change=["trainer"])
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))
    assert same(weights(resumed, "best"), weights(whole, "best"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_a_signal_saves_and_gives_its_exit_code(project: Path, tiny: Tiny, number: int, code: int) -> None:
    with pytest.raises(Interrupted, match="everything is saved") as caught:
        train(tiny({"trainer": {"type": StopAt, "args": {"stop_at": 2, "number": int(number)}}}))
    assert caught.value.exit_code == code
    assert (assay.open("last").folder.checkpoints / "last").is_dir()


def test_a_finished_run_is_extended_by_more_epochs(project: Path, tiny: Tiny) -> None:
    longer = tiny({"trainer.args.epochs": 4})
    whole = train(longer)
    short = train(tiny())
    extended = assay.train(resume=short.path, overrides=["trainer.args.epochs=4"], quiet=True)
    assert extended.path == short.path
    assert same(weights(extended), weights(whole))
    assert lines(extended) == lines(whole)
    ids = [record.id for record in read(extended.folder.journal)]
    assert ids == list(range(len(ids)))


def test_a_complete_run_is_not_resumed_for_nothing(project: Path, tiny: Tiny) -> None:
    run = train(tiny())
    with pytest.raises(RunBusyError, match="is complete") as caught:
        assay.train(resume=run.path, quiet=True)
    assert caught.value.exit_code == 7


def test_a_change_that_makes_it_another_run_is_refused_on_resume(project: Path, tiny: Tiny) -> None:
    run = train(tiny())
    with pytest.raises(ConfigError, match=r"optimizer\.args\.lr") as caught:
        assay.train(resume=run.path, overrides=["optimizer.args.lr=0.5", "trainer.args.epochs=3"], quiet=True)
    assert "--allow-change optimizer.args.lr" in str(caught.value)
    assay.train(
        resume=run.path,
        overrides=["optimizer.args.lr=0.5", "trainer.args.epochs=3"],
        allow_change=["optimizer.args.lr"],
        quiet=True,
    )


def test_every_second_process_on_a_run_is_told_who_holds_it(project: Path, tiny: Tiny) -> None:
    from assay.store.lock import Lock

    run = train(tiny())
    lock = Lock(run.folder.lock)
    with pytest.raises(RunBusyError, match=f"process {os.getpid()}"):
        assay.train(resume=run.path, quiet=True)
    lock.release()


@pytest.mark.parametrize("accumulate", [2, 4, 7])
def test_micro_batches_give_the_update_of_the_whole_batch(project: Path, tiny: Tiny, accumulate: int) -> None:
    # 1,437 training samples less 144 leave 1,293: the last window of 64 has 13, a ragged one.
    base = {"host": {"precision": "float64"}, "data.loader.args.batch_size": 64, "trainer.args.epochs": 1}
    whole = weights(train(tiny(base)))
    pieces = weights(train(tiny({**base, "trainer.args.accumulate": accumulate})))
    for name, tensor in whole.items():
        assert (tensor - pieces[name]).abs().max() <= 1e-12 * tensor.abs().max(), name


def test_micro_batches_are_exact_with_class_weights_and_ignored_targets(project: Path, tiny: Tiny) -> None:
    loss = {"type": "CrossEntropyLoss", "args": {"weight": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "ignore_index": 3}}
    base = {"host": {"precision": "float64"}, "loss": loss, "trainer.args.epochs": 1}
    one, two = train(tiny(base)), train(tiny({**base, "trainer.args.accumulate": 5}))
    for name, tensor in weights(one).items():
        assert torch.allclose(tensor, weights(two)[name], rtol=1e-12, atol=1e-14), name
    assert one.last["train/loss"] == pytest.approx(two.last["train/loss"], rel=1e-12)


# Two good epochs, and then a rate that undoes them: the best epoch is the second.
SPOILT: dict[str, Any] = {
    "schedulers": [{"type": "DynamicLR", "args": {"values": {"0": 0.3, "2": 4.0}}}],
    "trainer.args": {"epochs": 6, "monitor": "min validation/loss"},
}


def test_the_best_checkpoint_is_that_of_the_best_epoch_whatever_the_save_period(project: Path, tiny: Tiny) -> None:
    run = train(tiny({**SPOILT, "checkpoints": {"every": "4ep"}}))
    validation = [record for record in read(run.folder.journal) if record.phase == "validation"]
    values = [record.values["loss"] for record in validation]
    best = validation[values.index(min(values))]
    assert best.epoch == 1
    assert run.status["best"] == {"value": min(values), "epoch": best.epoch, "step": best.step}
    assert (run.folder.checkpoints / "best").resolve().name == f"step-{best.step:08d}"
    assert run.test("best")["test/accuracy"] == run.best["test/accuracy"]


def test_patience_and_the_best_value_survive_an_interruption(project: Path, tiny: Tiny) -> None:
    arguments = {**SPOILT["trainer.args"], "epochs": 30, "early_stopping": {"patience": 4}}
    changes = {**SPOILT, "trainer.args": arguments}
    whole = train(tiny(changes))
    assert whole.status["epoch"] == 6  # the best is epoch 1, the fourth validation without a better one that of epoch 5
    with pytest.raises(Interrupted):
        train(tiny({**changes, "trainer": {"type": StopAt, "args": {**arguments, "stop_at": 50}}}))
    resumed = train(tiny(changes), resume="last", allow_change=["trainer"])
    assert lines(resumed) == lines(whole)
    assert resumed.status["best"] == whole.status["best"]


def test_early_stopping_ends_the_run_at_the_epoch_that_the_rule_says(project: Path, tiny: Tiny) -> None:
    arguments = {"epochs": 30, "early_stopping": {"patience": 3}, "monitor": "max validation/accuracy"}
    run = train(tiny({"trainer.args": arguments, "optimizer.args.lr": 0.5}))
    values = [record.values["accuracy"] for record in read(run.folder.journal) if record.phase == "validation"]
    best, since, stop = float("-inf"), 0, None
    for epoch, value in enumerate(values):
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == 3:
            stop = epoch
            break
    assert stop == len(values) - 1 < 29
    assert "early stopping" in run.status["reason"]


def test_max_steps_ends_a_run_inside_an_epoch(project: Path, tiny: Tiny) -> None:
    run = train(tiny({"trainer.args": {"epochs": 9, "max_steps": 14}}))
    last = list(read(run.folder.journal))
    assert {record.step for record in last} == {11, 14}
    assert run.status["reason"] == "max_steps: 14 updates"


def test_test_during_training_falls_on_its_own_epochs(project: Path, tiny: Tiny) -> None:
    run = train(tiny({"trainer.args.epochs": 5, "testing": {"every": "2ep"}}))
    epochs = [record.epoch for record in read(run.folder.journal) if record.phase == "test"]
    assert epochs[:2] == [1, 3]
    # The best epoch, where it was none of these, is tested at the end.
    assert epochs[2:] in ([], [run.status["best"]["epoch"]])
    assert "test/accuracy" in run.best


def test_records_per_batch_add_up_to_those_of_the_epoch(project: Path, tiny: Tiny) -> None:
    run = train(tiny({"logging.every": "1ba", "trainer.args.epochs": 1}))
    batches = [record for record in read(run.folder.journal) if record.phase == "batch"]
    epoch = next(record for record in read(run.folder.journal) if record.phase == "train")
    sizes = [b.samples - a for a, b in zip([0, *(r.samples for r in batches)], batches, strict=False)]
    assert len(batches) == 11
    assert sum(sizes) == epoch.samples == 1293
    mean = sum(size * record.values["loss"] for size, record in zip(sizes, batches, strict=True)) / sum(sizes)
    assert epoch.values["loss"] == pytest.approx(mean, rel=1e-6)


def test_selecting_on_the_test_split_is_refused_unless_it_is_said_and_then_stamped(project: Path, tiny: Tiny) -> None:
    config = tiny({"trainer.args.monitor": "max test/accuracy", "testing": {"every": "1ep"}})
    with pytest.raises(ConfigError, match="allow_test_selection"):
        train(config)
    run = train({**config, "allow_test_selection": True})
    assert "test split" in run.status["stamps"][0]


def test_a_monitor_that_nothing_measures_is_found_before_the_training(project: Path, tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match='did you mean "max validation/accuracy"') as caught:
        train(tiny({"trainer.args.monitor": "max validation/acuracy"}))
    assert caught.value.exit_code == 2
    assert not (project / "saved").exists()


def test_a_loss_that_is_not_finite_stops_before_the_update(project: Path, tiny: Tiny) -> None:
    with pytest.raises(NonFiniteError, match=r"the loss is nan at step .* the update was not made") as caught:
        train(tiny({"optimizer.args.lr": 1e30}))
    assert caught.value.exit_code == 5
    run = assay.open("last")
    assert run.status["state"] == "failed"
    for path in run.folder.checkpoints.glob("step-*/model.pt"):
        assert all(torch.isfinite(value).all() for value in torch.load(path, weights_only=True).values())


def test_parts_from_python_may_stand_for_names(project: Path, tiny: Tiny) -> None:
    class Net(torch.nn.Module):
        def __init__(self, num_classes: int, input_shape: tuple[int, ...], width: int = 4) -> None:
            super().__init__()
            size = input_shape[0] * input_shape[1] * input_shape[2]
            self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, width), torch.nn.ReLU())
            self.head = torch.nn.Linear(width, num_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))

    config = tiny()
    config["model"] = {"type": Net, "args": {"width": 8}}
    config["loss"] = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    run = train(config)
    assert "not reproducible from its folder alone" in run.status["stamps"][0]
    assert run.model("best").head.weight.shape == (10, 8)
    assert run.test()["test/accuracy"] == run.best["test/accuracy"]
    config["model"] = {"type": "MLP", "args": {"hidden": [3]}}
    assert train(config, model=Net).model().head.weight.shape == (10, 4)
    assert train(config, model={"type": Net, "args": {"width": 5}}).model().head.weight.shape == (10, 5)


def test_a_model_that_is_read_computes_in_the_precision_that_it_was_trained_in(project: Path, tiny: Tiny) -> None:
    run = train(tiny({"host.precision": "float64"}))
    network = run.model("last")
    held = torch.load(run.folder.checkpoints / "last" / "model.pt", weights_only=True)
    assert all(torch.equal(held[name], weight) for name, weight in network.state_dict().items())
    assert network(torch.zeros(1, 1, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_a_run_starts_from_the_weights_of_another(project: Path, tiny: Tiny) -> None:
    first = train(tiny())
    second = train(tiny({"model.weights": str(first.path), "optimizer.args.lr": 1e-12, "trainer.args.epochs": 1}))
    for name, tensor in weights(first, "best").items():
        assert torch.allclose(tensor, weights(second)[name], atol=1e-6), name


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16", "float16"])
def test_every_precision_trains(project: Path, tiny: Tiny, precision: str) -> None:
    changes = {"trainer.args.epochs": 4, "optimizer.args": {"lr": 0.5, "momentum": 0.9}}
    run = train(tiny({"host": {"precision": precision}, **changes}))
    assert run.best["validation/accuracy"] > 0.8


def test_the_moving_average_is_what_is_validated_and_tested(project: Path, tiny: Tiny) -> None:
    run = train(tiny({"trainer.args.ema": 0.99}))
    average = torch.load(run.folder.checkpoints / "best" / "ema.pt", weights_only=True)
    assert not same(average, weights(run, "best"))
    model = run.model("best")
    assert same(model.state_dict(), average)
    data = build(run._checked()).data
    for split, loader in (("validation", data.validation), ("test", data.test)):
        assert loader is not None
        with torch.no_grad():
            losses = [torch.nn.functional.cross_entropy(model(x), y, reduction="sum") for x, y in loader.batches(0)]
        mean = sum(losses).item() / len(loader.samples)
        assert run.best[f"{split}/loss"] == pytest.approx(mean, rel=1e-6)
    assert run.test()["test/loss"] == run.best["test/loss"]


@pytest.mark.parametrize("pandas", [True, False])
def test_the_table_of_the_journal_has_a_row_for_every_record(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, pandas: bool
) -> None:
    run = train(tiny())
    if not pandas:
        monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    table = run.journal()
    assert type(table).__name__ == ("DataFrame" if pandas else "ndarray")
    records = list(read(run.folder.journal))
    assert len(table) == len(records)
    assert list(table["loss"]) == [record.values["loss"] for record in records]
    assert list(table["phase"]) == [record.phase for record in records]


def test_data_that_is_not_there_is_exit_3_and_leaves_no_folder(project: Path, tiny: Tiny) -> None:
    with pytest.raises((DataError, ConfigError)) as caught:
        train(tiny({"data.dataset": {"type": "ImageFolder", "args": {"root": "nowhere"}}}))
    assert caught.value.exit_code == 3
    assert not (project / "saved").exists()


def test_groups_have_their_own_rates_and_each_is_recorded(project: Path, tiny: Tiny) -> None:
    config = tiny({"schedulers": [{"type": "DynamicLR", "args": {"values": {"0": 0.1, "1": 0.05}}}]})
    config["optimizer"] = {"type": "SGD", "args": {"lr": 0.1}, "groups": [{"match": ".*bias", "lr": 0.2}]}
    run = train(config)
    rates = [
        (record.values["learning_rate/0"], record.values["learning_rate/1"])
        for record in read(run.folder.journal)
        if record.phase == "train"
    ]
    assert rates == [(0.1, 0.2), (0.05, 0.1)]
