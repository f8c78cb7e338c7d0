"""Passwords in configurations: refused, each at its place, and not repeated in what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.config.credentials import credentials_in
from assay.config.load import load
from assay.errors import ConfigError, Problem
from assay.utils import secrets

SECRET = "hunter2-battery"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PASSWORD", SECRET)
    yield
    secrets.forget()


def found(args: dict[str, Any], *overrides: str) -> list[Problem]:
    source = load({"loggers": [{"type": "SacredLogger", "args": args}]}, overrides)
    assert source.problems == ()
    problems = source.with_problems(credentials_in(source))
    assert SECRET not in "\n".join(map(str, problems))
    return problems


@pytest.mark.parametrize(
    ("args", "key", "shown"),
    [
        ({"mongo_url": f"mongodb://me:{SECRET}@db"}, "mongo_url", "'mongodb://me:***@db'"),
        ({"mongo_url": f"mongodb://me:{SECRET}@a:1,b:2/x"}, "mongo_url", "'mongodb://me:***@a:1,b:2/x'"),
        ({"mongo_url": f"mongodb://me:{SECRET}'@db"}, "mongo_url", "'mongodb://me:***@db'"),
        ({"url": f"https://{SECRET}@db"}, "url", "'https://***@db'"),
        ({"hosts": ["http://a", f"http://db/?api_key={SECRET}"]}, "hosts.1", "'http://db/?api_key=***'"),
        ({"hosts": [f"me:{SECRET}@db:9200"]}, "hosts.0", "'me:***@db:9200'"),
        ({"password": SECRET}, "password", "'***'"),
        ({"wandb_token": SECRET}, "wandb_token", "'***'"),
        ({"api_key": ["id", SECRET]}, "api_key.1", "'***'"),
        ({"headers": {"Authorization": SECRET}}, "headers.Authorization", "'***'"),
        ({"password": "${env:NOWHERE:" + SECRET + "}"}, "password", "'***'"),
        ({"url": "http://${env:NOWHERE:me}:" + SECRET + "@db"}, "url", "'http://me:***@db'"),
    ],
)
def test_one_that_is_written_out_is_refused(args: dict[str, Any], key: str, shown: str) -> None:
    problem = found(args)[-1]
    assert problem.key == f"loggers.0.args.{key}"
    assert "is written out" in problem.message
    assert problem.found == shown
    assert problem.hint.startswith('write "${env:')


@pytest.mark.parametrize(
    "args",
    [
        {"mongo_url": "mongodb://localhost:27017"},
        {"mongo_url": "mongodb://me@db"},
        {"mongo_url": "${env:PASSWORD}"},
        {"mongo_url": "mongodb://me:${env:PASSWORD}@db"},
        {"password": "${env:PASSWORD}"},
        {"password": "${env:PASSWORD:}"},
        {"password": ""},
        {"password": None},
        {"password_file": "/run/secrets/password"},
        {"contact": "me@example.org"},
        {"save_token": True},
    ],
)
def test_what_comes_from_elsewhere_or_is_none_is_accepted(args: dict[str, Any]) -> None:
    assert found(args) == []


def test_the_variable_to_use_is_named_after_the_argument() -> None:
    (url,) = found({"mongo_url": f"mongodb://me:{SECRET}@db"})
    (password,) = found({"password": SECRET})
    assert url.hint.startswith('write "${env:MONGO_URL}" and run: read -rs MONGO_URL && export MONGO_URL')
    assert '"${env:SACRED_PASSWORD}"' in password.hint


def test_a_number_is_a_password_too() -> None:
    assert [problem.found for problem in found({"password": 12345})] == ["'***'"]


def test_one_in_a_setting_is_refused_and_its_place_does_not_show_it() -> None:
    (problem,) = found({}, f"loggers.0.args.password={SECRET}")
    assert str(problem.place) == "--set loggers.0.args.password=***"
    (problem,) = found({}, f"loggers.0.args.x=mongodb://me:{SECRET}@db")
    assert str(problem.place) == "--set loggers.0.args.x=mongodb://***@db"
    (problem,) = found({}, "loggers.0.args.password=pw1")
    assert str(problem.place) == "--set loggers.0.args.password=***"


def test_one_that_another_file_or_a_setting_replaces_is_refused_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = {"loggers": [{"type": "SacredLogger", "args": {"mongo_url": f"mongodb://me:{SECRET}@db"}}]}
    Path("base.json").write_text(json.dumps(base, indent=1))
    Path("run.json").write_text('{"extends": "base.json", "loggers": []}')
    (problem,) = credentials_in(load("run.json"))
    assert problem.place
    assert problem.place.file == "base.json"
    Path("run.json").write_text('{"extends": "base.json"}')
    (problem,) = credentials_in(load("run.json", ["loggers.0.args.mongo_url=${env:PASSWORD}"]))
    assert str(problem.place) == "base.json:6:18"
    assert problem.key == "loggers.0.args.mongo_url"


def test_a_url_with_a_password_is_refused_wherever_it_stands() -> None:
    source = load({"data": {"dataset": {"type": "mine:Web", "args": {"url": f"https://me:{SECRET}@db"}}}})
    assert [problem.key for problem in credentials_in(source)] == ["data.dataset.args.url"]


def test_an_argument_of_another_component_may_be_called_token() -> None:
    source = load({"model": {"type": "mine:Net", "args": {"pad_token": "<pad>"}}})
    assert credentials_in(source) == []


def test_other_mistakes_beside_one_do_not_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text(f'{{"loggers": [{{"type": "X", "args": {{"password": "{SECRET}", "a": 1,, "b": }}}}]}}')
    with pytest.raises(ConfigError) as caught:
        load("run.json")
    told = str(caught.value)
    assert "run.json:1" in told
    assert SECRET not in told
    told = str(ConfigError(load({}, [f"loggers..password={SECRET}"]).problems))
    assert f"password={SECRET}" not in told
