from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from assay.config.check import SLOTS, Checked, check, examine
from assay.config.components import Allowed, Family, Kind
from assay.config.load import load
from assay.errors import ConfigError, Place, Problem

# Small classes of the standard library stand in for the parts that are not torch's.
PLAIN = {
    "dataset": {"Digits": "fractions:Fraction"},
    "loader": {"BatchLoader": "textwrap:TextWrapper"},
    "transform": {"Normalize": "textwrap:TextWrapper"},
    "metric": {"Accuracy": "textwrap:TextWrapper"},
    "trainer": {"DefaultTrainer": "logging:Handler"},
    "logger": {"TensorBoardLogger": "textwrap:TextWrapper"},
}
KINDS = {name: Kind(name, ("builtins:object",), table) for name, table in PLAIN.items()} | {
    "model": Kind("model", ("torch.nn:Module",), {"Net": "torch.nn:Linear"}, runtime=frozenset({"out_features"})),
    "loss": Kind("loss", ("torch.nn:Module",), {}, (Family("torch.nn", ("nn/modules/loss.py",)),)),
    "optimizer": Kind(
        "optimizer",
        ("torch.optim:Optimizer",),
        {},
        (Family("torch.optim", ("optim/__init__.py",)),),
        runtime=frozenset({"params"}),
    ),
    "scheduler": Kind(
        "scheduler",
        ("torch.optim.lr_scheduler:LRScheduler",),
        {},
        (Family("torch.optim.lr_scheduler", ("optim/lr_scheduler.py",)),),
        runtime=frozenset({"optimizer"}),
    ),
}
ALLOWED = Allowed(Path("/nowhere"), ("fractions", "textwrap", "logging"))
GOOD: dict[str, Any] = {
    "data": {"dataset": "Digits", "transforms": {"test": [{"type": "Normalize", "args": {"width": 3}}]}},
    "model": {"type": "Net", "args": {"in_features": 4}},
    "loss": "CrossEntropyLoss",
    "metrics": ["Accuracy"],
    "optimizer": {"type": "SGD", "args": {"lr": 0.1}, "groups": [{"match": "head.*", "lr": 0.2}]},
    "schedulers": [{"type": "StepLR", "args": {"step_size": 3}}],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def checked(config: Any, *overrides: str, objects: dict[str, Any] | None = None) -> Checked:
    return check(load(config, overrides), KINDS, ALLOWED, objects)


def failing(config: Any, *overrides: str) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        checked(config, *overrides)
    return {problem.key: problem for problem in caught.value.problems}


def test_every_component_is_bound_at_its_path() -> None:
    components = checked(GOOD).components
    assert components["model",].obj is nn.Linear
    assert components["loss",].obj is nn.CrossEntropyLoss
    assert components["schedulers", 0].args == {"step_size": 3}
    assert components["schedulers", 0].key == "schedulers.0"
    assert components["trainer",].name == "DefaultTrainer"
    assert components["loggers", 0].name == "TensorBoardLogger"
    assert components["data", "loader"].name == "BatchLoader"
    assert components["data", "transforms", "validation", 0].args == {"width": 3}
    assert len(components) == 11


def test_the_complete_configuration_gives_itself_again(tmp_path: Path) -> None:
    first = checked(GOOD, "seed=3")
    (tmp_path / "config.json").write_text(json.dumps(first.complete))
    again = checked(tmp_path / "config.json")
    assert again.complete == first.complete
    assert again.config == first.config
    assert first.complete["seed"] == 3
    assert first.complete["data"]["transforms"]["validation"] == [{"type": "Normalize", "args": {"width": 3}}]


def test_a_trainer_or_loader_needs_no_type_to_be_given_arguments() -> None:
    found = checked(changed(trainer={"args": {"level": 3}}), "data.loader.args.width=9")
    assert found.components["trainer",].args == {"level": 3}
    assert found.config.trainer.type == "DefaultTrainer"
    assert found.components["data", "loader"].args == {"width": 9}
    assert found.complete["data"]["loader"] == {"type": "BatchLoader", "args": {"width": 9}}


def test_objects_of_python_stand_for_names() -> None:
    class Mine(nn.Module):
        def __init__(self, width: int) -> None: ...

    config = changed(model={"type": "python:Mine", "args": {"width": 3}})
    found = checked(config, objects={"python:Mine": Mine})
    assert found.components["model",].obj is Mine
    with pytest.raises(ConfigError, match="has no argument 'wide'"):
        checked(changed(model={"type": "python:Mine", "args": {"wide": 3}}), objects={"python:Mine": Mine})


def test_all_mistakes_come_at_once_each_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        """{
  "sed": 1,
  "data": {"dataset": "Digit", "split": {"validation": 2.5}},
  "model": {"type": "Net", "args": {"in_featurs": 4}},
  "loss": {"type": "CrossEntropyLoss", "args": {"label_smoothing": "0.1"}},
  "optimizer": {"type": "SGD", "agrs": {}, "groups": [{"match": "h", "lr": "x", "mom": 1}]},
  "schedulers": [{"type": "StepLR"}],
  "host": {"precision": "float23"}
}"""
    )
    found = failing(path, "trainer.args.levle=3")
    places = {key: (problem.place.line, problem.place.column) for key, problem in found.items() if problem.place}
    assert places == {
        "trainer.args.levle": (0, 0),
        "sed": (2, 3),
        "data.dataset.type": (3, 23),
        "data.split.validation": (3, 56),
        "model.args.in_featurs": (4, 37),
        "loss.args.label_smoothing": (5, 68),
        "optimizer.agrs": (6, 32),
        "optimizer.groups.0.lr": (6, 76),
        "optimizer.groups.0.mom": (6, 81),
        "schedulers.0.type": (7, 19),
        "host.precision": (8, 25),
    }
    assert found["sed"].hint == "did you mean seed?"
    assert found["data.dataset.type"].hint == "did you mean 'Digits'?"
    assert found["model.args.in_featurs"].hint == "did you mean 'in_features'?"
    assert found["loss.args.label_smoothing"].hint == "write 0.1 without quotes"
    assert found["optimizer.agrs"].hint == "did you mean optimizer.args?"
    assert found["host.precision"].hint == 'did you mean "float32"?'
    assert found["trainer.args.levle"].place == Place("--set trainer.args.levle=3")


def test_what_is_known_of_a_faulty_configuration_comes_with_its_mistakes() -> None:
    config = changed(
        loss={"type": "CrossEntropyLoss", "args": {"reductoin": "sum"}}, metrics=["Accuracy", "Acuracy"], sed=1
    )
    del config["optimizer"]
    found = examine(load(config), KINDS, ALLOWED)
    assert found.faulty == {("loss",), ("metrics", 1), ("optimizer",)}
    assert {problem.key for problem in found.problems} == {
        "loss.args.reductoin",
        "metrics.1.type",
        "optimizer",
        "sed",
    }
    assert found.config is None
    assert found.components["loss",].args == {"reductoin": "sum"}
    assert ("metrics", 1) not in found.components
    assert found.components["model",].obj is nn.Linear
    with pytest.raises(ConfigError) as caught:
        found.checked()
    assert set(caught.value.problems) == set(found.problems)


def test_missing_sections_are_named() -> None:
    found = failing({"seed": 1})
    assert found["data"].message == "the section 'data' is missing"
    assert set(found) == {"data", "model", "loss", "optimizer"}


@pytest.mark.parametrize(
    ("setting", "key", "hint"),
    [
        ("epochs=3", "epochs", "did you mean trainer.args.epochs?"),
        ("lr=3", "lr", "did you mean optimizer.args.lr?"),
        ("optimizer.lr=3", "optimizer.lr", "arguments of the class belong in optimizer.args.lr"),
        ("threads=3", "threads", "did you mean host.threads?"),
        ("keep_best=3", "keep_best", "did you mean checkpoints.keep_best?"),
        ("logging.every=5", "logging.every", 'write "5ep"'),
        ("seed=1.0", "seed", "write 1"),
        ("xyzzy=1", "xyzzy", ""),
    ],
)
def test_hints_lead_to_the_right_key(setting: str, key: str, hint: str) -> None:
    found = failing(GOOD, setting)
    assert list(found) == [key]
    assert found[key].hint == hint


def test_a_component_of_the_wrong_shape_is_one_problem() -> None:
    assert failing(changed(loss=3))["loss"].expected == 'a name, or {"type": name, "args": {…}}'
    assert failing(changed(loss={"type": "L1Loss", "args": [1]}))["loss.args"].expected == "an object"
    assert list(failing(changed(data=3))) == ["data"]
    assert list(failing(changed(metrics={"type": "Accuracy"}))) == ["metrics"]
    assert list(failing(changed(schedulers=[None, 3]))) == ["schedulers.0", "schedulers.1"]


def test_a_mistake_in_transforms_of_test_is_told_once() -> None:
    config = changed(data={"dataset": "Digits", "transforms": {"test": [{"type": "Normalize", "arg": 1}, "Normalise"]}})
    assert set(failing(config)) == {"data.transforms.test.0.arg", "data.transforms.test.1.type"}


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("validation/loss", "this cannot be monitored"),
        ("min validation", "this cannot be monitored"),
        ("lowest validation/loss", "this cannot be monitored"),
        ("min vali/loss", "this phase cannot be monitored"),
        ("min test/loss", "the test split may not choose the best model"),
    ],
)
def test_a_monitor_names_a_direction_a_phase_and_a_quantity(monitor: str, message: str) -> None:
    found = failing(GOOD, f"trainer.args.monitor={monitor}")["trainer.args.monitor"]
    assert found.message in (message, "'DefaultTrainer' has no argument 'monitor'")
    with pytest.raises(ConfigError, match=message):
        checked(GOOD, f"trainer.args.monitor={monitor}")


def test_the_test_split_chooses_only_where_that_is_said() -> None:
    class Trainer:
        def __init__(self, monitor: str) -> None: ...

    config = changed(trainer={"type": "T", "args": {"monitor": "max test/accuracy"}}, allow_test_selection=True)
    assert checked(config, objects={"T": Trainer}).config.allow_test_selection
    config["trainer"]["args"]["monitor"] = "max validation/accuracy"
    config["allow_test_selection"] = False
    checked(config, objects={"T": Trainer})


def test_a_plateau_scheduler_cannot_go_by_batches() -> None:
    found = failing(changed(schedulers=[{"type": "ReduceLROnPlateau", "unit": "batch"}]))
    assert list(found) == ["schedulers.0.unit"]
    checked(changed(schedulers=["ReduceLROnPlateau"]))


def test_no_value_anywhere_breaks_the_check() -> None:
    wrong: list[Any] = [None, True, 3, 2.5, "x", [], {}, [None], {"type": 3}, {"type": None, "args": None}]
    wrong += [[[]], {"": {}}]
    paths = [
        ("data",),
        ("host",),
        ("logging",),
        ("data", "transforms"),
        ("data", "split"),
        ("optimizer", "groups"),
    ]
    paths += [("optimizer", "args"), ("trainer",), ("schedulers", 0), *(slot.at for slot in SLOTS)]
    refused = accepted = 0
    for path in paths:
        for value in wrong:
            config: Any = copy.deepcopy(GOOD)
            node = config
            for part in path[:-1]:
                node = node[part] if isinstance(node, list) else node.setdefault(part, {})
            node[path[-1]] = value
            try:
                checked(config)
            except ConfigError as error:
                refused += all(problem.place for problem in error.problems)
            else:
                accepted += 1
    assert refused + accepted == len(paths) * len(wrong)
    assert refused > 100


def test_mistakes_that_need_no_class_import_no_torch(tmp_path: Path) -> None:
    (tmp_path / "syntax.json").write_text('{"a": 1,}')
    names = {"dataset": "A"}
    config = {"sed": 1, "data": names, "model": "B", "loss": "C", "optimizer": "D", "host": {"threads": -1}}
    (tmp_path / "names.json").write_text(json.dumps(config))
    program = """
import sys
from pathlib import Path
from assay.config.check import SLOTS, check
from assay.config.components import Allowed, Kind
from assay.config.load import load
from assay.errors import ConfigError

kinds = {slot.kind: Kind(slot.kind, ("torch.nn:Module",), {}) for slot in SLOTS}
for slot in SLOTS:
    if slot.default:
        kinds[slot.kind] = Kind(slot.kind, ("builtins:object",), {slot.default: "fractions:Fraction"})
for name in ("syntax.json", "names.json", "gone.json"):
    try:
        check(load(Path(name)), kinds, Allowed(Path(), ("fractions",)))
    except ConfigError as error:
        print(name, len(error.problems))
assert not {"torch", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["syntax.json 6", "names.json 6", "gone.json 1"]
