from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from against_schema import ROOT, SCHEMA, refused
from assay.config.check import SLOTS, check
from assay.config.components import Allowed
from assay.config.load import load
from assay.config.schema import Config
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS
from assay.experiment.json_schema import PACKAGES, json_schema, schema_text

RUNS = sorted((ROOT / "configs").glob("**/*.json"))
SMALL: dict[str, Any] = {
    "data": {"dataset": "Digits"},
    "model": "ResNet",
    "loss": "CrossEntropyLoss",
    "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
}


def is_refused_by_check(config: dict[str, Any], project: Path) -> bool:
    try:
        check(load(config), KINDS, Allowed(project))
    except ConfigError:
        return True
    return False


def put(at: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The small configuration with another value at a place."""
    config: dict[str, Any] = json.loads(json.dumps(SMALL))
    place = config
    for part in at[:-1]:
        place = place.setdefault(part, {})
    place[at[-1]] = value
    return config


def test_the_schema_in_the_repository_is_the_one_that_the_code_gives(project: Path) -> None:
    written = json.loads(SCHEMA.read_text(encoding="utf-8"))
    text = schema_text(json_schema(Allowed(project)))
    assert re.search(r"\b0x[0-9a-f]{6}", text) is None  # the address of an object
    made = json.loads(text)
    Draft202012Validator.check_schema(made)
    if written["$comment"] != ", ".join(f"{package} {version(package)}" for package in PACKAGES):
        # Other packages have other names and arguments; what is assay's own is the same.
        own = [f"{kind.name}.{name}" for kind in KINDS.values() for name in kind.table]
        own += [name for name in written["$defs"] if name.startswith("section.")]
        written, made = ({name: schema["$defs"][name] for name in own} for schema in (written, made))
    assert made == written, "make docs writes it anew"


@pytest.mark.parametrize("path", [path for path in RUNS if path != SCHEMA], ids=lambda path: path.stem)
def test_every_shipped_configuration_names_the_schema_and_keeps_to_it(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / config["$schema"]).resolve() == SCHEMA
    assert refused(config) == []


def places(section: type[BaseModel] = Config, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        yield (*at, name)
        inner = field.annotation
        is_slot = any(slot.at == (*at, name) for slot in SLOTS)
        if not is_slot and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from places(inner, (*at, name))


VALUES: list[Any] = [
    None, True, 0, 1, -1, 7, 0.5, -0.5, 1.5, 2**63, "", "word", "../up", "cpu", "cuda:1", "float32", "1ep",
    "5s", "0ep", "10ba",
    [], ["Accuracy"], [1], {}, {"type": "Digits"}, {"type": "Adm"}, {"kind": "Digits"}, {"every": "1ep"}, {"word": 1},
]  # fmt: skip


@pytest.mark.parametrize("at", list(places()), ids=".".join)
def test_schema_and_check_say_the_same_of_every_key(at: tuple[str, ...], project: Path) -> None:
    for value in VALUES:
        config = put(at, value)
        assert bool(refused(config)) == is_refused_by_check(config, project), (value, refused(config))


@pytest.mark.parametrize("key", ["type", "args", "weights", "groups", "match", "lr", "unit", "priority", "other"])
@pytest.mark.parametrize("section", ["model", "loss", "optimizer", "groups", "schedulers", "trainer"])
def test_schema_and_check_say_the_same_of_every_key_of_a_component(section: str, key: str, project: Path) -> None:
    values: list[Any] = [None, True, 0, 1, -1, 0.5, "", "SGD", "batch", [], [{"match": "a"}], {}, {"lr": 0.1}]
    for value in values:
        if section == "groups":
            config = put(("optimizer", "groups"), [{"match": "head.*", key: value}])
        elif section == "schedulers":
            config = put(("schedulers",), [{"type": "CosineAnnealingLR", key: value}])
        else:
            type_ = {"optimizer": "SGD", "model": "ResNet", "trainer": "DefaultTrainer"}.get(
                section, "CrossEntropyLoss"
            )
            config = put((section,), {"type": type_, key: value})
        assert bool(refused(config)) == is_refused_by_check(config, project), (value, refused(config))


@pytest.mark.parametrize(
    ("at", "value", "place"),
    [
        (("sed",), 1, ""),
        (("model",), "ResNt", "model"),
        (("model",), "CrossEntropyLoss", "model"),
        (("model",), "torch.optim:SGD", "model"),
        (("model",), "os.system", "model"),
        (("model",), "torchvision.models.resnet81", "model"),
        (("model",), "mylab.models:__builtins__", "model"),
        (("loss",), "torch.nn:CrossEntropyLos", "loss"),
        (("optimizer",), {"type": "torch.optim.Adamm"}, "optimizer.type"),
        (("loss",), {"type": "CrossEntropyLoss", "arg": {}}, "loss"),
        (("loss",), {"args": {}}, "loss"),
        (("optimizer", "args"), {"learning_rate": 0.1}, "optimizer.args"),
        (("optimizer", "args", "lr"), "fast", "optimizer.args.lr"),
        (("optimizer", "args", "lr"), -0.1, "optimizer.args.lr"),
        (("optimizer", "args", "params"), [], "optimizer.args"),
        (("optimizer", "groups"), [{"match": "head.*", "momentm": 0.1}], "optimizer.groups.0"),
        (("optimizer", "groups"), [{"lr": 0.1}], "optimizer.groups.0"),
        (("schedulers",), ["StepLR"], "schedulers.0"),
        (("schedulers",), [{"type": "StepLR", "args": {"gamma": 0.1}}], "schedulers.0.args"),
        (("metrics",), [{"type": "TopKAccuracy", "args": {"k": "3"}}], "metrics.0.args.k"),
        (("trainer",), {"args": {"epoch": 3}}, "trainer.args"),
        (("trainer",), {"args": {"early_stopping": {"patienc": 3}}}, "trainer.args.early_stopping"),
        (("data", "loader"), {"args": {"batch_size": 0}}, "data.loader.args.batch_size"),
        (("data", "dataset"), {"type": "ArrayFile", "args": {"path": 3}}, "data.dataset.args.path"),
    ],
)  # fmt: skip
def test_wrong_names_and_types_are_refused_at_their_place(
    at: tuple[str, ...], value: Any, place: str, project: Path
) -> None:
    config = put(at, value)
    assert is_refused_by_check(config, project)
    assert place in refused(config)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("model",), "mylab.models:WideNet"),
        (("model",), {"type": "mylab.models.WideNet", "args": {"width": 3}}),
        (("loss",), "torch.nn:CrossEntropyLoss"),
        (("loss",), "torch.nn.modules.loss.CrossEntropyLoss"),
        (("optimizer", "args", "lr"), "${trainer.args.rate}"),
        (("optimizer", "args", "betas"), ["${one}", 0.99]),
        (("optimizer", "type"), "${env:OPTIMIZER:Adam}"),
        (("seed",), "${env:SEED}"),
        (("host",), "${other}"),
        (("metrics",), ["Accuracy", "${metric}"]),
        (("logging",), {"every": "${validation.every}"}),
    ],
)
def test_paths_of_the_project_and_references_are_taken(at: tuple[str, ...], value: Any) -> None:
    config = put(at, value)
    if at == ("optimizer", "args", "betas"):
        config["optimizer"] = {"type": "Adam", "args": {"betas": value}}
    assert refused(config) == []


def test_a_file_that_extends_another_need_not_be_complete_and_null_deletes_in_it() -> None:
    layer: dict[str, Any] = {"extends": "base.json", "optimizer": {"args": {"lr": 0.1}}, "schedulers": ["StepLR"]}
    assert refused(layer) == []
    assert refused({**layer, "testing": None, "trainer": {"args": {"clip": None}}}) == []
    assert refused({**layer, "optimizer": {"type": "SGD", "args": {"momentum": None}}}) == []
    assert refused({**layer, "optimizer": {"type": "SGD", "args": {"momentm": 0.9}}}) == ["optimizer.args"]
    assert refused({**layer, "model": "ResNt"}) == ["model"]
    assert refused({"optimizer": {"args": {"lr": 0.1}}}) != []
