from __future__ import annotations

import enum
import inspect
from pathlib import Path
from typing import Any

import pytest

from assay.config.binding import bind
from assay.config.components import Allowed
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS
from assay.experiment.inventory import MEANINGS, entries, entry, kind_named, plain_default


@pytest.fixture
def allowed(project: Path) -> Allowed:
    return Allowed(project)


def test_every_kind_has_a_meaning() -> None:
    assert MEANINGS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_name_can_be_constructed_and_says_what_it_is(kind: Any, allowed: Allowed) -> None:
    for found in entries(kind, allowed):
        assert found.summary, found.name
        assert not inspect.isabstract(found.obj)
        for argument, parameter in found.arguments():
            assert not argument.required or argument.type or argument.meaning, (found.name, argument.name)
            assert argument.required == (parameter.required and argument.name not in kind.runtime)


def test_bases_and_what_is_made_of_other_metrics_cannot_be_named(allowed: Allowed) -> None:
    names = {found.name for kind in KINDS.values() for found in entries(kind, allowed)}
    assert not names & {"Optimizer", "LRScheduler", "Metric", "MetricCollection", "BootStrapper", "ClasswiseWrapper"}
    assert {"SGD", "StepLR", "Accuracy", "MulticlassAccuracy", "Digits", "resnet50"} <= names


def test_an_argument_has_type_default_and_meaning(allowed: Allowed) -> None:
    arguments = {argument.name: argument for argument, _ in entry(KINDS["optimizer"], "SGD", allowed).arguments()}
    assert arguments["momentum"].shown_default == "0"
    assert arguments["nesterov"].type == "true or false"
    assert arguments["nesterov"].meaning.startswith("enables Nesterov momentum")
    assert (arguments["momentum"].type, arguments["lr"].type) == (
        "a number of at least 0 and below 1",
        "a number above 0",
    )
    steps = {argument.name: argument for argument, _ in entry(KINDS["scheduler"], "OneCycleLR", allowed).arguments()}
    assert steps["epochs"].type == "a whole number of at least 1 or null"
    erased = {
        argument.name: argument for argument, _ in entry(KINDS["transform"], "RandomErasing", allowed).arguments()
    }
    assert erased["ratio"].type == "a list of numbers (a number above 0)"
    assert "params" not in arguments  # assay's to give, and nobody else's
    classes = {a.name: a for a, _ in entry(KINDS["model"], "resnet18", allowed).arguments()}["num_classes"]
    assert classes.supplied
    assert not classes.required
    assert classes.meaning == "Number of classes; that of the dataset."


def test_a_component_of_the_project_is_described_by_its_path(project: Path, allowed: Allowed) -> None:
    (project / "nets.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        '    def __init__(self, width: int) -> None:\n        """Make it.\n\n        Args:\n'
        '            width: how wide.\n        """\n'
    )
    found = entry(KINDS["model"], "nets:Net", allowed)
    ((argument, _),) = found.arguments()
    assert (argument.name, argument.required, argument.meaning, found.summary) == ("width", True, "how wide.", "")


def test_a_wrong_kind_or_name_says_the_nearest_one(allowed: Allowed) -> None:
    assert kind_named("metrics") is kind_named("metric") is KINDS["metric"]
    assert kind_named("losses") is KINDS["loss"]
    with pytest.raises(ConfigError, match="did you mean 'optimizer'"):
        kind_named("optimiser")
    with pytest.raises(ConfigError, match="did you mean 'Adam'"):
        entry(KINDS["optimizer"], "Adm", allowed)


class Way(enum.Enum):
    FAST = "fast"


@pytest.mark.parametrize(
    ("default", "plain"), [((1, 2.5), [1, 2.5]), (Way.FAST, "fast"), ({1: None}, {"1": None}), (True, True), ("a", "a")]
)
def test_defaults_are_json(default: Any, plain: Any) -> None:
    assert plain_default(default) == plain


@pytest.mark.parametrize("default", [float("nan"), float("inf"), object(), int, inspect.Parameter.empty])
def test_what_json_cannot_say_is_no_default(default: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        plain_default(default)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_default_is_never_refused(kind: Any, allowed: Allowed) -> None:
    """Also where the type comes from a docstring."""
    for found in entries(kind, allowed):
        given = {}
        for argument, _ in found.arguments():
            try:
                given[argument.name] = plain_default(argument.default)
            except ValueError:
                continue
        wrong = [path[0] for path, _ in bind(kind, found.name, found.obj, given)[1] if path]
        assert not wrong, (found.name, {name: given[name] for name in wrong})
