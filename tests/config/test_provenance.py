from __future__ import annotations

from pathlib import Path

from assay.config.load import Source, load
from assay.config.provenance import leaves, origin


def test_leaves_are_plain_values_and_what_is_empty() -> None:
    assert dict(leaves({"a": {"b": [1, {}], "c": []}, "d": None})) == {
        ("a", "b", 0): 1,
        ("a", "b", 1): {},
        ("a", "c"): [],
        ("d",): None,
    }


def test_every_leaf_says_where_it_came_from_and_what_it_replaced(tmp_path: Path) -> None:
    base, path = tmp_path / "base.json", tmp_path / "a.json"
    base.write_text('{"seed": 1, "m": "Net", "o": {"type": "SGD", "args": {"lr": 1}}}')
    path.write_text('{"extends": "base.json", "seed": 2, "o": {"type": "Adam"}}')
    source = load(path, ["seed=3"])
    complete = {"seed": 3, "m": {"type": "Net", "args": {}}, "o": {"type": "Adam", "args": {}}, "x": 0}
    assert origin(complete, source) == {
        "seed": {
            "value": 3,
            "from": "--set seed=3",
            "replaced": [{"value": 1, "from": f"{base}:1:10"}, {"value": 2, "from": f"{path}:1:34"}],
        },
        "m.type": {"value": "Net", "from": f"{base}:1:18"},
        "m.args": {"value": {}, "from": "default"},
        "o.type": {
            "value": "Adam",
            "from": f"{path}:1:51",
            "replaced": [{"value": "SGD", "from": f"{base}:1:30"}],
        },
        "o.args": {"value": {}, "from": "default"},
        "x": {"value": 0, "from": "default"},
    }


def test_what_null_deleted_is_shown_beside_the_default() -> None:
    source = load({"seed": 4}, ["seed=null"])
    assert origin({"seed": 0}, source)["seed"] == {
        "value": 0,
        "from": "default",
        "replaced": [{"value": 4, "from": "config"}],
    }


def test_validation_transforms_come_from_those_of_test() -> None:
    transforms = {"test": [{"type": "N", "args": {"mean": [0.5]}}]}
    source = load({"data": {"transforms": transforms}})
    complete = {"data": {"transforms": {**transforms, "validation": transforms["test"]}}}
    assert origin(complete, source)["data.transforms.validation.0.args.mean.0"]["from"] == "config"


def test_a_key_with_a_dot_is_quoted() -> None:
    assert list(origin({"a": {"b.c": 1}}, Source({}))) == ['a."b.c"']
