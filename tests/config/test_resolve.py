from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from assay.config.load import Source, load
from assay.config.provenance import as_written
from assay.errors import Place, Problem
from assay.utils import secrets


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ROOT", "/very/private/place")
    monkeypatch.setenv("SEED", "7")
    monkeypatch.delenv("NOWHERE", raising=False)
    yield
    secrets.forget()


def problems(config: dict[str, Any], *overrides: str) -> list[Problem]:
    return list(load(config, overrides).problems)


def rewritten(source: Source) -> Any:
    return as_written(source.data, source)


def test_a_whole_text_is_the_value_with_its_type() -> None:
    config = {"a": {"n": 3, "l": [1, {"x": 0.5}]}, "n": "${a.n}", "l": "${a.l}", "x": "${a.l.1.x}", "again": "${x}"}
    source = load(config)
    assert source.problems == ()
    assert source.data == {"a": config["a"], "n": 3, "l": [1, {"x": 0.5}], "x": 0.5, "again": 0.5}
    assert source.data["l"] is not source.data["a"]["l"]
    assert source.raw["n"] == "${a.n}"


def test_inside_a_text_plain_values_are_put_in() -> None:
    config = {"a": 1e-3, "b": True, "c": "x", "t": "${a}-${b}-${c}", "u": "<${t}>"}
    assert load(config).data["u"] == "<0.001-true-x>"


@pytest.mark.parametrize("value", [{"x": 1}, [1], None])
def test_inside_a_text_nothing_else_is_put_in(value: Any) -> None:
    (problem,) = problems({"a": value, "t": "x-${a}"})
    assert (problem.key, problem.message) == ("t", "only plain values can stand inside a text")


def test_a_reference_leads_through_references() -> None:
    config = {"d": {"train": {"size": 4}}, "now": "${d.train}", "size": "${now.size}", "type": "${kind}", "kind": "Net"}
    assert load(config).data["size"] == 4
    assert load(config).data["type"] == "Net"


def test_a_reference_sees_what_files_and_settings_say(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"a": 1, "b": "${a}"}')
    (tmp_path / "c.json").write_text('{"extends": "base.json", "a": 2}')
    assert load(tmp_path / "c.json").data["b"] == 2
    assert load(tmp_path / "c.json", ["a=3"]).data["b"] == 3
    assert load(tmp_path / "c.json", ["a=3", "b=${a}-x"]).data["b"] == "3-x"


def test_a_default_may_be_referred_to_that_is_not_written() -> None:
    assert load({"name": "run-${seed}", "p": "${host.precision}", "e": "${checkpoints.every}"}).data == {
        "name": "run-0",
        "p": "float32",
        "e": "1ep",
    }


def test_a_copy_stands_where_the_copied_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": 1},\n "c": "${a}"}')
    source = load(path)
    assert source.places["c",] == Place(str(path), 2, 7)
    assert source.places["c", "b"] == Place(str(path), 1, 13)
    assert source.keys["c", "b"] == Place(str(path), 1, 8)


def test_two_dollars_are_one() -> None:
    source = load({"a": "$${b}", "b": "x$${y}-${a}"})
    assert source.data == {"a": "${b}", "b": "x${y}-${b}"}
    assert rewritten(source) == {"a": "$${b}", "b": "x$${y}-$${b}"}
    assert load(rewritten(source)).data == source.data


def test_an_environment_variable_is_read_as_a_setting_is() -> None:
    config = {
        "root": "${env:ROOT}",
        "seed": "${env:SEED}",
        "text": "run-${env:SEED}",
        "default": "${env:NOWHERE:1e-3}",
        "path": "${root}/x",
        "copy": "${seed}",
    }
    source = load(config)
    assert source.problems == ()
    assert source.data == {
        "root": "/very/private/place",
        "seed": 7,
        "text": "run-7",
        "default": 0.001,
        "path": "/very/private/place/x",
        "copy": 7,
    }


def test_what_the_environment_holds_is_written_nowhere() -> None:
    source = load({"root": "${env:ROOT}", "path": "${root}/x", "seed": "${env:SEED:0}", "copy": ["${seed}"]})
    assert rewritten(source) == {
        "root": "${env:ROOT}",
        "path": "${env:ROOT}/x",
        "seed": "${env:SEED:0}",
        "copy": ["${env:SEED:0}"],
    }
    assert "private" not in json.dumps(rewritten(source))


def test_a_value_of_the_environment_is_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT", "${seed}")
    assert load({"seed": 1, "root": "${env:ROOT}"}).data["root"] == "${seed}"


def test_a_variable_that_is_not_set_is_named_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "d": {"root": "${env:NOWHERE}/x"}}')
    source = load(path)
    (problem,) = source.problems
    assert problem.message == "the environment variable NOWHERE is not set"
    assert (problem.key, problem.place) == ("d.root", Place(str(path), 2, 16))
    assert source.unread == {("d", "root")}


@pytest.mark.parametrize(
    ("config", "key", "message", "hint"),
    [
        ({"optimizer": {"lr": 1}, "a": "${optimzer.lr}"}, "a", "optimzer.lr is referred to", "${optimizer.lr}"),
        ({"o": {"rate": 1}, "a": "x${o.rat}"}, "a", "o.rat is referred to", "${o.rate}"),
        ({"l": [1, 2], "a": "${l.2}"}, "a", "l.2 is referred to", ""),
        ({"n": 1, "a": "${n.x}"}, "a", "n.x is referred to", ""),
        ({"a": "${HOME}"}, "a", "HOME is referred to", "${env:HOME}"),
        ({"a": ["${x"]}, "a.0", "never closed", "$${"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(config: dict[str, Any], key: str, message: str, hint: str) -> None:
    (problem,) = problems(config)
    assert problem.key == key
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("config", "chain"),
    [
        ({"a": "${a}"}, "a -> a"),
        ({"a": "${b}", "b": "${a}"}, "a -> b -> a"),
        ({"z": "${a}", "a": "x${b}", "b": "${c}", "c": "${a}"}, "a -> b -> c -> a"),
        ({"a": {"b": "${a}"}}, "a.b -> a.b"),
        ({"a": {"b": "${c}"}, "c": {"d": ["${a}"]}}, "a.b -> c.d.0 -> a.b"),
        ({"a": "${a.b}"}, "a -> a"),
    ],
)
def test_a_circle_is_told_once_as_a_chain(config: dict[str, Any], chain: str) -> None:
    (problem,) = problems(config)
    assert problem.found == chain


def test_every_mistake_of_references_is_told_at_once() -> None:
    config = {"a": "${b}", "b": "${a}", "c": "${nothing}", "d": "${env:NOWHERE}", "e": "${c}", "f": "x"}
    source = load(config)
    assert [problem.key for problem in source.problems] == ["a", "c", "d"]
    assert source.unread == {("a",), ("b",), ("c",), ("d",), ("e",)}
    assert source.data["f"] == "x"


def test_references_that_multiply_are_stopped() -> None:
    texts = {f"t{n}": f"${{t{n + 1}}}" * 10 for n in range(30)} | {"t30": "x" * 10}
    lists = {f"l{n}": [f"${{l{n + 1}}}"] * 10 for n in range(30)} | {"l30": 1}
    chain = {f"c{n}": f"${{c{n + 1}}}" for n in range(5000)} | {"c5000": 1}
    nested = {f"n{n}": {"x": f"${{n{n + 1}}}"} for n in range(60)} | {"n60": 1}
    for config in (texts, lists, nested):
        with pytest.raises(Exception, match="references"):
            load(config)
    assert "follow one another" in problems(chain)[0].message


def test_a_number_of_the_environment_is_not_shown_in_another_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "1e-3")
    (problem,) = load({"seed": "${env:SEED}"}).with_problems([Problem("wrong", key="seed", found="0.001")])
    assert problem.found == "${env:SEED}"


def test_a_mistake_in_a_value_of_the_environment_shows_the_reference() -> None:
    source = load({"seed": "${env:SEED}", "root": "${env:ROOT}"})
    wrong = Problem("seed is 7, and 17 is not", key="seed", found="7", expected="7 or more")
    path = Problem("no folder", key="data", found="'/very/private/place/mnist'")
    key = Problem("no such key", key="seed", found="seed")
    about_seed, about_path, about_key = source.with_problems([wrong, path, key])
    assert about_key == key
    assert about_seed.found == "${env:SEED}"
    assert about_seed.message == "seed is ${env:SEED}, and 17 is not"
    assert about_path.found == "'${env:ROOT}/mnist'"


def test_the_content_of_a_file_is_a_text_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "inside").mkdir()
    (tmp_path / "key").write_text("1234567\r\n\n")
    monkeypatch.chdir(tmp_path / "inside")
    source = load({"key": "${file:key}", "url": "db://me:${file:key}@host", "copy": "${key}"})
    assert source.problems == ()
    assert source.data == {"key": "1234567", "url": "db://me:1234567@host", "copy": "1234567"}
    assert rewritten(source) == {"key": "${file:key}", "url": "db://me:${file:key}@host", "copy": "${file:key}"}
    (problem,) = source.with_problems([Problem("1234567 is wrong", key="key", found="'1234567'")])
    assert (problem.message, problem.found) == ("${file:key} is wrong", "${file:key}")


def test_a_file_of_an_absolute_path_and_one_in_the_home_folder_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("seven")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"a": f"${{file:{tmp_path}/key}}", "b": "${file:~/key}"}).data == {"a": "seven", "b": "seven"}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "is not there"),
        (b"x" * 70_000, "is too large"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a\0b", "is not text"),
        (b"\n", "is empty"),
    ],
)
def test_a_file_that_holds_no_secret_is_a_mistake_with_its_place(
    content: bytes | None, word: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    path = tmp_path / "run.json"
    path.write_text(f'{{"a": 1,\n "b": "${{file:{tmp_path}/key}}"}}')
    (problem,) = load(path).problems
    assert problem.message == f"the file {tmp_path}/key {word}" or problem.message.startswith(
        f"the file {tmp_path}/key {word}:"
    )
    assert str(problem.place) == f"{path}:2:7"
    assert problem.found == f"${{file:{tmp_path}/key}}"


def test_a_folder_and_a_pipe_are_no_files_of_secrets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    made = problems({"a": f"${{file:{tmp_path}}}", "b": f"${{file:{tmp_path}/pipe}}"})
    assert [problem.message for problem in made] == [
        f"the file {tmp_path} cannot be read: Is a directory",
        f"the file {tmp_path}/pipe is not a regular file",
    ]


def test_a_password_of_digits_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT", "00123")
    source = load({"password": "${env:SEED}", "api_key": "${env:ROOT}", "seed": "${env:SEED}"})
    assert source.data == {"password": "7", "api_key": "00123", "seed": 7}
