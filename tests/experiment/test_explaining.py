"""Where a value comes from, what it means and what else it may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import ConfigError
from assay.experiment.checking import examined
from assay.experiment.explaining import Explanation, explained

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture
def explain(project: Path, tiny: Tiny) -> Callable[..., Explanation]:
    """Of a configuration on a base, with one setting."""
    (project / "base.json").write_text(json.dumps(tiny()))
    (project / "run.json").write_text('{"extends": "base.json",\n "seed": 7}')

    def explain(key: str, *overrides: str) -> Explanation:
        return explained(examined(project / "run.json", overrides), key)

    return explain


def test_a_value_of_a_file_has_its_line_and_what_it_replaced(explain: Callable[..., Explanation]) -> None:
    entry = explain("seed").values["seed"]
    assert entry["value"] == 7
    assert entry["from"].endswith("run.json:2:10")


def test_a_setting_is_named_with_what_stood_there_before(explain: Callable[..., Explanation]) -> None:
    made = explain("optimizer.args.lr", "optimizer.args.lr=0.25")
    (entry,) = made.values.values()
    assert entry["value"] == 0.25
    assert entry["from"] == "--set optimizer.args.lr=0.25"
    assert "base.json:1:" in entry["replaced"][0]["from"]
    assert made.meaning.startswith("learning rate")
    assert "above 0" in made.allowed


def test_an_argument_that_is_not_given_has_the_default_of_its_class(explain: Callable[..., Explanation]) -> None:
    made = explain("optimizer.args.momentum")
    assert made.values == {"optimizer.args.momentum": {"value": 0, "from": "default"}}
    assert "momentum" in made.meaning


def test_a_section_is_explained_leaf_by_leaf(explain: Callable[..., Explanation]) -> None:
    made = explain("checkpoints")
    assert set(made.values) == {"checkpoints.every", "checkpoints.keep_last", "checkpoints.keep_best"}
    assert made.meaning == "What to save."


@pytest.mark.parametrize(
    ("key", "near"), [("host.threds", "host.threads"), ("optimizer.args.momentun", "optimizer.args.momentum")]
)
def test_an_unknown_key_gets_the_nearest_one(explain: Callable[..., Explanation], key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        explain(key)


@pytest.mark.parametrize("key", ["", "..", "²", "seed.x", "schedulers.x", "schedulers.-1", "optimizer.args.lr.0"])
def test_what_stands_nowhere_is_no_key(explain: Callable[..., Explanation], key: str) -> None:
    with pytest.raises(ConfigError, match="a configuration has no key"):
        explain(key)


@pytest.mark.parametrize(
    "key", ["loggers.3", "model.args.hidden.9", "optimizer.groups.0.lr", "trainer.args.early_stopping.patience"]
)
def test_what_may_stand_inside_of_a_value_is_not_set(explain: Callable[..., Explanation], key: str) -> None:
    made = explain(key)
    assert (made.values, made.default) == ({}, "")
    assert made.meaning
    assert made.allowed


def test_a_configuration_with_mistakes_can_be_explained_all_the_same(explain: Callable[..., Explanation]) -> None:
    made = explain("optimizer.args.lr", "optimizer.args.lr=-1")
    assert made.values["optimizer.args.lr"]["value"] == -1


def test_what_the_environment_holds_is_not_shown(
    explain: Callable[..., Explanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE_RUNS_GO", "hidden-place")
    made = explain("folder", "folder=${env:WHERE_RUNS_GO}")
    assert made.values["folder"]["value"] == "${env:WHERE_RUNS_GO}"


def test_the_run_folder_keeps_origin_and_meaning_of_every_leaf(project: Path, tiny: Tiny) -> None:
    run = assay.train(tiny(), quiet=True)
    kept = json.loads(run.folder.origin.read_text())
    assert kept["optimizer.args.lr"]["meaning"].startswith("learning rate")
    assert kept["seed"] == {
        "value": 0,
        "from": kept["seed"]["from"],
        "meaning": "Everything random follows from it.",
        "allowed": "a whole number of at least 0",
    }
    assert all({"value", "from"} <= set(entry) for entry in kept.values())
