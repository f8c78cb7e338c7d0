"""Whatever has a state in a user's model, loss, metric, optimizer, scheduler or trainer: a resume has it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tasks
from killing import Kill, assert_exact, endings, launched

KILLS = [Kill("a batch has come", 11), Kill("a record is written", 3)]
ALLOW = ["tasks", "resumed", "unusual"]


def assert_resumes(config: dict[str, Any], **settings: Any) -> None:
    codes = assert_exact(config, KILLS, allow=ALLOW, **settings)
    assert codes == [-9, -9, 0]


@pytest.mark.parametrize(
    "model", ["CountingNet", "PassingNet", "OwnDraws", "Remembering", "Normed", "Rows", "Lazy", "Part"]
)
def test_a_model_with_a_state_of_its_own_goes_on_with_it(model: str) -> None:
    assert_resumes(tasks.short(model=f"resumed:{model}"))


@pytest.mark.parametrize("model", ["CountingNet", "OwnDraws", "Remembering"])
def test_so_does_its_moving_average(model: str) -> None:
    assert_resumes(tasks.short(model=f"resumed:{model}", trainer={"args": {"epochs": 4, "ema": 0.8, "accumulate": 2}}))


def test_a_loss_with_buffers_and_a_counter_goes_on_with_them() -> None:
    assert_resumes(tasks.short(loss="resumed:CenterLoss"))


@pytest.mark.parametrize(
    "metric",
    [
        "resumed:Streak",
        "ConfusionMatrix",
        {"type": "AUROC", "args": {"task": "multiclass", "num_classes": 3}},
        {"type": "CalibrationError", "args": {"task": "multiclass", "num_classes": 3}},
        {"type": "CohenKappa", "args": {"task": "multiclass", "num_classes": 3}},
    ],
    ids=str,
)
def test_a_metric_with_any_state_goes_on_with_it(metric: Any) -> None:
    assert_resumes(tasks.short(metrics=[metric, "Accuracy"]))


@pytest.mark.parametrize("trainer", ["Own", "Freezing", "Adversarial"])
def test_a_trainer_of_ones_own_goes_on_with_what_it_keeps(trainer: str) -> None:
    kept = {"type": f"resumed:{trainer}", "args": {"epochs": 4}}
    assert_exact(
        tasks.short(trainer=kept), [Kill("the step is counted", 11), Kill("the step is counted", 3)], allow=ALLOW
    )


def test_an_optimizer_that_uses_another_goes_on_with_the_state_of_both() -> None:
    assert_resumes(tasks.short(trainer={"type": "resumed:Sharp", "args": {"epochs": 4}}, optimizer="resumed:SAM"))


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "fused": True}),
    ("Adam", {"lr": 0.01, "foreach": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01}),
    ("Adamax", {"lr": 0.01}),
    ("Adagrad", {"lr": 0.05}),
    ("Adadelta", {"lr": 0.5}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    ("Rprop", {"lr": 0.01}),
    ("ASGD", {"lr": 0.05, "t0": 5}),
    ("Adafactor", {"lr": 0.05}),
]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS, ids=[f"{name}-{args}" for name, args in OPTIMIZERS])
def test_every_optimizer_of_torch_goes_on_with_its_state(name: str, arguments: dict[str, Any], precision: str) -> None:
    host = {"device": "cpu", "threads": 1, "precision": precision}
    assert_resumes(tasks.short(optimizer={"type": name, "args": arguments}, host=host))


def test_the_state_of_an_optimizer_keeps_its_types() -> None:
    """torch gives the float32 scalars of ASGD the type of a float64 parameter when it loads them."""
    host = {"device": "cpu", "threads": 1, "precision": "float64"}
    assert_resumes(tasks.short(optimizer={"type": "ASGD", "args": {"lr": 0.05, "t0": 5}}, host=host))


def test_sparse_gradients_are_no_obstacle() -> None:
    assert_resumes(tasks.short(model="resumed:Sparse", optimizer={"type": "SparseAdam", "args": {"lr": 0.05}}))


def test_groups_of_parameters_go_on_with_rates_of_their_own() -> None:
    groups = [{"match": "head\\..*", "lr": 0.1, "weight_decay": 0.01}]
    schedulers = [{"type": "StepLR", "args": {"step_size": 1, "gamma": 0.7}}]
    optimizer = {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}, "groups": groups}
    assert_resumes(tasks.short(optimizer=optimizer, schedulers=schedulers))


SGD = {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}}
SCHEDULERS: dict[str, list[dict[str, Any]]] = {
    "one cycle": [{"type": "OneCycleLR", "unit": "batch", "args": {"max_lr": 0.1, "total_steps": 20}}],
    "restarts": [{"type": "CosineAnnealingWarmRestarts", "unit": "batch", "args": {"T_0": 3, "T_mult": 2}}],
    "plateau": [{"type": "ReduceLROnPlateau", "args": {"patience": 0, "factor": 0.5}}],
    "cyclic": [
        {"type": "CyclicLR", "unit": "batch",
         "args": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "cycle_momentum": True}}
    ],
    "exponential behind dynamic by batches": [
        {"type": "DynamicLR", "unit": "batch", "args": {"values": {"0": 0.01, "5": 0.05, "11": 0.03}}},
        {"type": "ExponentialLR", "unit": "batch", "args": {"gamma": 0.9}},
    ],
    "one cycle behind dynamic by epochs": [
        {"type": "DynamicLR", "args": {"values": {"0": 0.01, "1": 0.05, "2": 0.03}}},
        {"type": "OneCycleLR", "unit": "batch", "args": {"max_lr": 0.1}},
    ],
    "step behind dynamic and linear": [
        {"type": "DynamicLR", "args": {"values": {"0": 0.01, "1": 0.05}}},
        {"type": "LinearLR", "unit": "batch", "args": {"start_factor": 0.5, "total_iters": 6}},
        {"type": "StepLR", "args": {"step_size": 1, "gamma": 0.5}},
    ],
    "polynomial and several steps": [
        {"type": "PolynomialLR", "unit": "batch", "args": {"total_iters": 9, "power": 2.0}},
        {"type": "MultiStepLR", "unit": "batch", "args": {"milestones": [2, 5], "gamma": 0.5}},
    ],
}  # fmt: skip


UNUSUAL: dict[str, dict[str, Any]] = {
    "a closure": {
        "trainer": {"type": "unusual:ByClosure", "args": {"epochs": 4}},
        "optimizer": {"type": "LBFGS", "args": {"lr": 0.1, "max_iter": 3, "history_size": 4}},
    },
    "Muon beside AdamW": {
        "trainer": {"type": "unusual:MuonBeside", "args": {"epochs": 4}},
        "optimizer": "unusual:Matrices",
    },
    "a rate that is a tensor": {
        "optimizer": "unusual:TensorRate",
        "schedulers": [{"type": "StepLR", "args": {"step_size": 1, "gamma": 0.7}}],
    },
    "layers that thaw": {"trainer": {"type": "unusual:Thawing", "args": {"epochs": 4, "ema": 0.9}}},
    "metrics with lists": {
        "metrics": [
            {"type": "AveragePrecision", "args": {"task": "multiclass", "num_classes": 3}},
            {"type": "AUROC", "args": {"task": "multiclass", "num_classes": 3, "thresholds": None}},
        ]
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_seldom_used_goes_on_to_the_bit(name: str) -> None:
    assert_resumes(tasks.short(**UNUSUAL[name]))


@pytest.mark.nightly
def test_a_compiled_model_goes_on_to_the_bit() -> None:
    """Batches of three sizes: where torch may choose, what it compiles for one hangs on those that it saw before."""
    assert_resumes(tasks.short(host={"device": "cpu", "threads": 1, "compile": True}))


@pytest.mark.slow
@pytest.mark.parametrize("step", [9, 10, 11, 12])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_goes_on_where_it_was(name: str, step: int) -> None:
    """Killed before, at and after the moment where one hands over to the next (11, or the epoch that begins at 10)."""
    whole = tasks.short(schedulers=SCHEDULERS[name], optimizer=SGD, checkpoints={"every": "1ba"})
    assert_exact(whole, [Kill("the rates are set", step), Kill("the weights have changed", 0)], allow=ALLOW)


@pytest.mark.parametrize("name", ["plateau", "cyclic", "step behind dynamic and linear"])
def test_a_scheduler_goes_on_where_it_was(name: str) -> None:
    assert_resumes(tasks.short(schedulers=SCHEDULERS[name], optimizer=SGD))


@pytest.mark.parametrize("precision", ["float64", "bfloat16", "float16"])
def test_every_precision_goes_on_to_the_bit(precision: str) -> None:
    host = {"device": "cpu", "threads": 1, "precision": precision}
    assert_resumes(tasks.short(host=host, trainer={"args": {"epochs": 4, "accumulate": 2, "clip": 0.5, "ema": 0.9}}))


def test_the_scale_of_float16_goes_on_over_steps_that_are_skipped() -> None:
    host = {"device": "cpu", "threads": 1, "precision": "float16"}
    trainer = {"type": "resumed:Overflowing", "args": {"epochs": 4}}
    logging = {"every": "100ba"}
    with pytest.raises(AssertionError):  # a training loss that is infinite ends the run, and says so
        assert_exact(tasks.short(host=host, trainer=trainer, logging=logging), [], allow=ALLOW)


@pytest.mark.parametrize(
    "loader",
    [
        {"type": "resumed:Backwards", "args": {"batch_size": 7}},
        {"args": {"batch_size": 7, "drop_last": True}},
        {"args": {"batch_size": 100}},
        {"args": {"batch_size": 7, "workers": 2, "prefetch": 8, "persistent": False}},
    ],
    ids=str,
)
def test_every_way_to_load_goes_on_with_the_next_batch(loader: dict[str, Any]) -> None:
    data = {**tasks.config()["data"], "loader": loader}
    kill = Kill("a batch has come", 2)
    assert_exact(tasks.short(data=data, checkpoints={"every": "1ba"}), [kill, kill], allow=ALLOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"trainer": {"args": {"epochs": 9, "max_steps": 13}}},
        {
            "trainer": {"args": {"epochs": 9, "early_stopping": {"patience": 2}}},
            "optimizer": {"type": "SGD", "args": {"lr": 1e-9}},
        },
        {"trainer": {"args": {"epochs": 4, "monitor": "min train/loss"}}, "validation": {"every": "1ep"}},
        {"testing": {"every": "3ba"}, "data": {**tasks.config()["data"], "split": {"validation": 6, "test": 5}}},
        {"data": {**tasks.config()["data"], "split": {"validation": 6, "test": 5}}},
        {"logging": {"every": "2ep", "images": 3, "histograms": True}},
        {"logging": {"every": "3ba", "images": 2}},
        {"checkpoints": {"every": "1ba", "keep_last": 1, "keep_best": 3}},
        {"host": {"device": "cpu", "threads": 1, "memory_format": "channels_last"}},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_the_settings_of_a_run_a_resume_leaves_the_same(changes: dict[str, Any]) -> None:
    steps = 8 if "early_stopping" in str(changes) else 11
    kills = [Kill("a batch has come", steps), Kill("the weights have changed", 0)]
    assert_exact(tasks.short(**changes), kills, allow=ALLOW)


def test_what_a_checkpoint_cannot_hold_is_told(tmp_path: Path) -> None:
    endings(tasks.short(model="resumed:Hidden"), tmp_path, [], allow=ALLOW)
    run = launched(tmp_path)
    assert run is not None
    text = (run / "output.log").read_text()
    assert text.count("warning: model.hidden (array) changes in training and cannot be saved") == 1


def test_a_state_that_would_not_load_again_stops_the_run_before_its_first_step() -> None:
    with pytest.raises(AssertionError, match="a checkpoint cannot hold the state of the run"):
        assert_exact(tasks.short(model="resumed:Saying"), [], allow=ALLOW)
