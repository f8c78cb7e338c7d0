from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.config.check import check
from assay.config.components import Allowed
from assay.config.load import load
from assay.config.rendering import render
from assay.errors import ConfigError, Moved, Problem
from assay.experiment.catalog import KINDS

FOLDER = Path(__file__).parent / "older"
FILES = sorted(FOLDER.glob("*.json"))


def problems(config: Path | dict[str, Any], *overrides: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        check(load(config, overrides), KINDS, Allowed(Path("/nowhere")))
    return caught.value.problems


def answers(config: Path | dict[str, Any], *overrides: str) -> dict[str, str]:
    return {p.key: p.message for p in problems(config, *overrides) if isinstance(p, Moved)}


def converted(config: Path | dict[str, Any]) -> dict[str, Any]:
    (head,) = [problem for problem in problems(config) if isinstance(problem, Moved) and not problem.key]
    return dict(json.loads(head.hint.partition("\n")[2]))


def leaves(value: Any, at: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{at}.{key}".lstrip("."))]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [leaf for number, item in enumerate(value) for leaf in leaves(item, f"{at}.{number}")]
    return [at]


@pytest.mark.parametrize(
    ("file", "key", "answer"),
    [
        ("project_name", "project_name", 'project: "Handwriting"'),
        ("project_name", "run_name", 'name: "LeNet"'),
        ("project_name", "host.gpu_settings.custom_gpu.ids", 'host.device: "cuda:1"'),
        ("project_name", "data.loader.type", 'data.dataset.type: "MNIST"'),
        ("project_name", "data.loader.args.data_dir", 'data.dataset.args.root: "files/"'),
        ("project_name", "data.loader.args.validation_split", "data.split.validation: 0.2"),
        ("project_name", "data.loader.args.num_workers", "data.loader.args.workers: 2"),
        ("project_name", "model.arch.type", 'model.type: "LeNet"'),
        ("project_name", "model.loss_function.args.l_name", 'loss.type: "CrossEntropyLoss"'),
        ("project_name", "optimizer.opt.args.lr", "optimizer.args.lr: 0.05"),
        (
            "project_name",
            "optimizer.lr_schedulers.0.args.lr_values",
            'schedulers.0.args.values: {"6": 0.01, "8": 0.001}',
        ),
        ("project_name", "optimizer.lr_schedulers.1.args.name", 'schedulers.1.type: "StepLR"'),
        ("project_name", "optimizer.lr_schedulers.1.args.priority", "schedulers.1.priority: 1"),
        ("project_name", "metrics.0.type", 'metrics.0.type: "Accuracy"'),
        ("project_name", "training.trainer.type", 'trainer.type: "DefaultTrainer"'),
        ("project_name", "training.epochs", "trainer.args.epochs: 12"),
        ("project_name", "training.save_dir", 'folder: "results/"'),
        ("project_name", "training.save_period", 'checkpoints.every: "3ep"'),
        ("project_name", "training.monitor", 'trainer.args.monitor: "min validation/loss"'),
        ("project_name", "training.early_stop", "trainer.args.early_stopping.patience: 5"),
        ("project_name", "testing.test_epochs_interval", 'testing.every: "4ep"'),
        ("project_name", "logging.index_batches", 'logging.every: "1ba"'),
        ("project_name", "logging.tensorboard_logs.do", 'loggers: ["TensorBoardLogger"]'),
        ("project_name", "logging.infrastructure_logs.config.time", 'logging.system: "10s"'),
        ("pytorch_template", "n_gpu", 'host.device: "auto"'),
        ("pytorch_template", "arch.type", 'model.type: "LeNet"'),
        ("pytorch_template", "data_loader.type", 'data.dataset.type: "MNIST"'),
        ("pytorch_template", "data_loader.args.batch_size", "data.loader.args.batch_size: 128"),
        ("pytorch_template", "loss", 'loss.type: "CrossEntropyLoss"'),
        ("pytorch_template", "metrics.1", 'metrics.1: {"type": "TopKAccuracy", "args": {"k": 3}}'),
        ("pytorch_template", "lr_scheduler.args.step_size", "schedulers.0.args.step_size: 50"),
        ("pytorch_template", "trainer.epochs", "trainer.args.epochs: 100"),
        ("pytorch_template", "trainer.early_stop", "trainer.args.early_stopping.patience: 10"),
        ("pytorch_template", "trainer.tensorboard", 'loggers: ["TensorBoardLogger"]'),
    ],
)
def test_a_key_is_told_where_it_lives_and_what_to_write(file: str, key: str, answer: str) -> None:
    assert answers(FOLDER / f"{file}.json")[key].startswith(f"here it is {answer}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_key_gets_an_answer_and_nothing_else_is_wrong(file: Path) -> None:
    found = problems(file)
    assert all(isinstance(problem, Moved) for problem in found)
    told = [problem.key for problem in found if problem.key]
    same = ("name", "optimizer.type", "optimizer.args", "data.loader.args.batch_size", "metrics.0.args")
    for leaf in leaves(json.loads(file.read_text())):
        is_told = any(f"{leaf}.".startswith(f"{key}.") or f"{key}.".startswith(f"{leaf}.") for key in told)
        assert is_told or leaf.startswith(same), leaf
    assert all(problem.place and problem.place.line for problem in found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_whole_of_it_can_be_copied_and_run(file: Path) -> None:
    assert check(load(converted(file)), KINDS, Allowed(Path("/nowhere"))).config.optimizer.type in ("SGD", "Adam")


def test_the_converted_configuration_says_the_same() -> None:
    made = converted(FOLDER / "project_name.json")
    assert list(made)[:3] == ["project", "name", "folder"]
    assert made["optimizer"] == {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}}
    assert made["schedulers"] == [
        {"type": "DynamicLR", "priority": 0, "args": {"values": {"6": 0.01, "8": 0.001}}},
        {"type": "StepLR", "priority": 1, "args": {"step_size": 2, "gamma": 0.5}},
    ]
    assert made["loss"] == {"type": "CrossEntropyLoss", "args": {"label_smoothing": 0.1}}
    assert made["loggers"] == [
        "TensorBoardLogger",
        {"type": "ElasticLogger", "args": {"url": "http://localhost:9200"}},
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_line_is_left_out(file: Path) -> None:
    found = problems(file)
    lines = render(found).splitlines()
    assert lines[1].startswith("this looks like a configuration of ")
    assert "older template" in lines[1]
    assert all(any(f"({problem.key}): " in line for line in lines) for problem in found if problem.key)
    assert "more (--all)" not in lines[-1]


def test_the_order_of_keys_and_missing_ones_change_nothing() -> None:
    config = json.loads((FOLDER / "project_name.json").read_text())
    backwards = dict(reversed(config.items()))
    assert answers(backwards) == answers(config)
    del config["logging"], config["data"]["loader"]["args"]["data_dir"], config["testing"]
    assert answers(config)["training.epochs"] == "here it is trainer.args.epochs: 12"


def test_what_is_new_or_unknown_beside_it_is_told_as_ever() -> None:
    config = json.loads((FOLDER / "pytorch_template.json").read_text())
    config["checkpoints"] = {"keep_last": 0}
    config["colour"] = "blue"
    config["arch"]["size"] = 3
    config["_comment"] = "a note"
    found = {problem.key: problem for problem in problems(config)}
    assert found["checkpoints.keep_last"].message == "'keep_last' is out of range"
    assert found["colour"].message == "there is no key 'colour' in a configuration"
    assert found["arch.size"].message == "there is no such thing here"
    assert found["_comment"].message.startswith("leave it out: JSON has no comments")
    assert converted(config)["checkpoints"] == {"keep_last": 0, "every": "1ep"}


def test_a_setting_of_the_command_line_is_answered_too() -> None:
    found = answers(FOLDER / "pytorch_template.json", "trainer.epochs=3")
    assert found["trainer.epochs"] == "here it is trainer.args.epochs: 3"


def test_what_is_missing_and_stood_nowhere_is_missing() -> None:
    found = {problem.key: problem.message for problem in problems({"n_gpu": 1, "arch": {"type": "LeNet"}})}
    assert found["data"] == "the section 'data' is missing"
    assert "model" not in found


def test_a_class_that_is_not_ours_is_named_by_its_path() -> None:
    found = answers({"n_gpu": 0, "arch": {"type": "MyNet"}, "data_loader": {"type": "MyDataLoader"}})
    assert found["n_gpu"].startswith('here it is host.device: "cpu"')
    assert found["arch.type"].startswith('here it is model.type: "mylab.models:MyNet"')
    assert found["data_loader.type"].startswith('here it is data.dataset.type: "mylab.data:MyDataLoader"')


def test_the_older_form_without_types_is_known_as_well() -> None:
    found = answers(
        {
            "cuda": True,
            "gpu": 1,
            "arch": "LeNet",
            "data_loader": {"type": "MnistDataLoader", "data_dir": "d/", "batch_size": 32},
            "validation": {"validation_split": 0.1, "shuffle": True},
            "lr_scheduler_type": "ExponentialLR",
            "lr_scheduler": {"gamma": 0.9},
            "optimizer_type": "Adam",
            "optimizer": {"lr": 0.001, "weight_decay": 0},
            "loss": "nll_loss",
            "trainer": {"epochs": 10, "save_freq": 2, "monitor": "val_loss", "monitor_mode": "min"},
        }
    )
    assert found["gpu"] == 'here it is host.device: "cuda:1"'
    assert found["arch"] == 'here it is model.type: "LeNet"'
    assert found["data_loader.data_dir"] == 'here it is data.dataset.args.root: "d/"'
    assert found["lr_scheduler_type"] == 'here it is schedulers.0.type: "ExponentialLR"'
    assert found["lr_scheduler.gamma"] == "here it is schedulers.0.args.gamma: 0.9"
    assert found["optimizer.lr"] == "here it is optimizer.args.lr: 0.001"
    assert found["trainer.save_freq"] == 'here it is checkpoints.every: "2ep"'
    assert found["trainer.monitor"] == 'here it is trainer.args.monitor: "min validation/loss"'


def test_one_slip_makes_no_older_configuration() -> None:
    found = problems({"data": {"dataset": "Digits"}, "arch": "MLP", "loss": "CrossEntropyLoss", "optimizer": "SGD"})
    assert not any(isinstance(problem, Moved) for problem in found)


def test_what_the_environment_holds_is_in_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_PLACE", "hush-hush")
    config = {"n_gpu": 1, "arch": {"type": "LeNet"}, "trainer": {"save_dir": "${env:OLD_PLACE}"}}
    text = render(problems(config))
    assert "hush" not in text
    assert '(trainer.save_dir): here it is folder: "${env:OLD_PLACE}"' in text


def test_no_value_in_an_older_configuration_breaks_the_answers() -> None:
    generator, wrong = random.Random(0), [None, True, 3, -1.5, "x", "", [], {}, [None], [{}], [[3]], {"type": 3}]
    originals = [json.loads(file.read_text()) for file in FILES]
    for _ in range(600):
        config: Any = copy.deepcopy(generator.choice(originals))
        for _ in range(generator.randint(1, 4)):
            node = config
            while True:
                keys = list(node) if isinstance(node, dict) else list(range(len(node)))
                if not keys:
                    break
                key = generator.choice(keys)
                if isinstance(node[key], dict | list) and node[key] and generator.random() < 0.8:
                    node = node[key]
                    continue
                node[key] = copy.deepcopy(generator.choice(wrong))
                break
        if isinstance(config, dict):
            assert problems(config)


def test_nothing_heavy_is_imported_for_the_answers() -> None:
    program = f"""
import sys
from pathlib import Path
from assay.errors import ConfigError
from assay.experiment.checking import examined
for file in Path({str(FOLDER)!r}).glob("*.json"):
    assert len(examined(file).problems) > 20
assert not {{"torch", "torchvision", "torchmetrics"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_servers_of_an_older_configuration_go_to_the_loggers_without_their_passwords(tmp_path: Path) -> None:
    old = json.loads((FOLDER / "project_name.json").read_text())
    old["logging"]["sacred_logs"] |= {"do": True, "mongo_url": "mongodb://root:example@db:27017", "db_name": "runs"}
    elk = {"elastic": {"host": "http://elk:9200/", "index": {"name": "experiment-metrics"}}}
    old["logging"]["infrastructure_logs"]["config"]["elk"] = elk
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert converted(tmp_path / "old.json")["loggers"][1:] == [
        {"type": "SacredLogger", "args": {"mongo_url": "${env:SACRED_URL}", "database": "runs"}},
        {"type": "ElasticLogger", "args": {"url": "http://elk:9200", "index": "experiment-metrics"}},
    ]
    old["logging"]["infrastructure_logs"]["do"] = False
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert len(converted(tmp_path / "old.json")["loggers"]) == 2
