from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt
from torch import nn, optim

from assay.config.binding import Bound, bind
from assay.config.components import Allowed, Kind, find
from assay.config.limits import breaches, number, stated, within, words
from assay.config.signatures import parameters
from assay.errors import Problem
from assay.experiment.catalog import KINDS


def told(kind: str, name: str, **args: Any) -> dict[str, Problem]:
    obj = find(KINDS[kind], name, Allowed(Path("/nowhere")))
    return {".".join(map(str, path)): problem for path, problem in bind(KINDS[kind], name, obj, args)[1] if path}


def test_text_is_a_number_only_with_an_exponent() -> None:
    assert [number(value) for value in ("1e-3", "-2.E+4", ".5e0")] == [0.001, -20000.0, 0.5]
    assert [number(value) for value in ("0.1", "e3", "1e", "1e3 ", "inf", True, None, [1])] == [None] * 8


def test_a_range_is_read_from_any_of_its_spellings() -> None:
    assert stated([Gt(0), "seconds", Le(3)]) == Interval(gt=0, le=3)
    assert stated([Interval(ge=0, lt=1)]) == Interval(ge=0, lt=1)
    assert stated([Ge(0), Lt(1)]) == Interval(ge=0, lt=1)
    assert stated(["seconds"]) is None


@pytest.mark.parametrize(
    ("limit", "inside", "outside"),
    [
        (Interval(gt=0), [1e-9, "1e-9", 5], [0, -1, "-1e-9", float("nan")]),
        (Interval(ge=0, lt=1), [0, 0.5], [1, -0.1, 1.0]),
        (Interval(ge=1, le=3), [1, 3], [0.9, 4]),
        (("mean", "sum"), ["mean", 3], ["none", "Mean"]),
    ],
)
def test_a_limit_tells_what_is_outside(limit: Any, inside: list[Any], outside: list[Any]) -> None:
    assert [within(limit, value) for value in inside] == [True] * len(inside)
    assert [within(limit, value) for value in outside] == [False] * len(outside)
    assert [found for _, found in breaches(limit, [inside, outside])] == outside


def test_a_limit_is_said_in_words() -> None:
    assert words(Interval(gt=0, lt=1)) == "a number above 0 and below 1"
    assert words(Interval(le=0)) == "a number of at most 0"


@pytest.mark.parametrize(
    ("kind", "name", "args", "key", "expected"),
    [
        ("optimizer", "SGD", {"lr": 0}, "lr", "a number above 0"),
        ("optimizer", "SGD", {"lr": "-1e-3"}, "lr", "a number above 0"),
        ("optimizer", "SGD", {"momentum": 1.5}, "momentum", "a number of at least 0 and below 1"),
        ("optimizer", "Adam", {"betas": [0.9, 1.0]}, "betas.1", "a number of at least 0 and below 1"),
        ("optimizer", "AdamW", {"weight_decay": -0.1}, "weight_decay", "a number of at least 0"),
        ("optimizer", "Adam", {"eps": -1e-8}, "eps", "a number of at least 0"),
        ("scheduler", "StepLR", {"step_size": 0}, "step_size", "a whole number of at least 1"),
        ("scheduler", "StepLR", {"step_size": 3, "gamma": -0.5}, "gamma", "a number above 0"),
        ("scheduler", "CosineAnnealingLR", {"T_max": 0}, "T_max", "a whole number of at least 1"),
        ("scheduler", "ReduceLROnPlateau", {"factor": 1.0}, "factor", "a number above 0 and below 1"),
        ("scheduler", "ReduceLROnPlateau", {"patience": -1}, "patience", "a whole number of at least 0"),
        ("scheduler", "DynamicLR", {"values": {"3": -0.1}}, "values.3", "a number of at least 0"),
        ("loss", "CrossEntropyLoss", {"label_smoothing": 1.5}, "label_smoothing", "a number from 0 to 1"),
        ("loss", "CrossEntropyLoss", {"reduction": "avg"}, "reduction", "'mean' or 'sum'"),
        ("loss", "SoftCrossEntropyLoss", {"smoothing": 1}, "smoothing", "a number of at least 0 and below 1"),
        ("metric", "TopKAccuracy", {"k": 0}, "k", "a whole number of at least 1"),
        ("metric", "F1Score", {"top_k": 0}, "top_k", "a whole number of at least 1"),
        ("transform", "RandomHorizontalFlip", {"p": 1.5}, "p", "a number from 0 to 1"),
        ("transform", "RandomVerticalFlip", {"p": -0.5}, "p", "a number from 0 to 1"),
        ("transform", "CenterCrop", {"size": [32, 0]}, "size.1", "a whole number of at least 1"),
        ("transform", "ColorJitter", {"hue": 0.6}, "hue", "a number from -0.5 to 0.5"),
        ("transform", "Normalize", {"mean": [0], "std": [0]}, "std.0", "a number above 0"),
        ("loader", "BatchLoader", {"batch_size": 0}, "batch_size", "a whole number of at least 1"),
        ("loader", "BatchLoader", {"workers": -1}, "workers", "a whole number of at least 0"),
        ("trainer", "DefaultTrainer", {"epochs": 0}, "epochs", "a whole number of at least 1"),
        ("trainer", "DefaultTrainer", {"ema": 1}, "ema", "a number above 0 and below 1"),
        (
            "trainer",
            "DefaultTrainer",
            {"early_stopping": {"patience": 0}},
            "early_stopping.patience",
            "a whole number of at least 1",
        ),
        ("model", "MLP", {"hidden": [16, 0]}, "hidden.1", "a whole number of at least 1"),
        ("model", "ResNet", {"width": 0}, "width", "a whole number of at least 1"),
        ("model", "vit_b_16", {"dropout": 2}, "dropout", "a number from 0 to 1"),
    ],
)
def test_values_out_of_range_are_told(kind: str, name: str, args: dict[str, Any], key: str, expected: str) -> None:
    found = told(kind, name, **args)
    assert list(found) == [key]
    assert found[key].expected == expected


def test_the_message_names_the_argument_and_its_default() -> None:
    (problem,) = told("optimizer", "SGD", lr=-1).values()
    assert (problem.message, problem.found) == ("'lr' of 'SGD' is out of range", "-1")
    assert problem.hint == "leave it out for the default, 0.001"
    (problem,) = told("trainer", "DefaultTrainer", early_stopping={"patience": 0}).values()
    assert problem.message == "'early_stopping.patience' of 'DefaultTrainer' is out of range"


def test_the_table_says_nothing_of_a_class_of_ones_own() -> None:
    class Own(optim.SGD):
        def __init__(self, params: Any, lr: float, p: Annotated[float, Lt(1)] = 0.5) -> None: ...

    assert bind(KINDS["optimizer"], "mine:Own", Own, {"lr": -1})[1] == []
    assert [path for path, _ in bind(KINDS["optimizer"], "mine:Own", Own, {"lr": 1, "p": 2})[1]] == [("p",)]


def test_what_assay_gives_itself_cannot_be_given() -> None:
    for kind, name, argument in (
        ("optimizer", "SGD", "params"),
        ("scheduler", "StepLR", "optimizer"),
        ("loader", "BatchLoader", "samples"),
        ("trainer", "DefaultTrainer", "parts"),
    ):
        problem = told(kind, name, **{argument: 3})[argument]
        assert problem.message == f"{argument!r} of {name!r} is given by assay"


def test_text_with_an_exponent_is_a_number_once_it_is_built() -> None:
    bound = Bound("SGD", optim.SGD, {"lr": "1e-3"})
    optimizer = bound.build([{"params": nn.Linear(1, 1).parameters(), **bound.fitted({"weight_decay": "1e-4"})}])
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.001, 0.0001)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.limits], ids=lambda kind: kind.name)
def test_every_limit_belongs_to_an_argument_whose_default_keeps_to_it(kind: Kind) -> None:
    used: set[str] = set()
    for family in kind.families:
        for name in family.listed():
            try:
                obj = find(kind, f"{family.package}:{name}", Allowed(Path("/nowhere")))
            except Exception:
                continue  # a name of the list that is no component
            for argument, parameter in parameters(obj).known.items():
                limit = kind.limit(obj, argument)
                if limit is None:
                    continue
                used.add(argument if f"{obj.__name__}.{argument}" not in kind.limits else f"{obj.__name__}.{argument}")
                if parameter.default is not inspect.Parameter.empty:
                    assert not list(breaches(limit, parameter.default)), f"{name}.{argument}"
    assert used == set(kind.limits)
