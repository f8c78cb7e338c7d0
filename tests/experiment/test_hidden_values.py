"""What an environment variable holds that a configuration names: used by the run, and left nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import AssayError, ConfigError
from assay.utils import secrets

Tiny = Callable[..., dict[str, Any]]
TOKEN = "correct horse 'battery' staple"

CODE = """
import logging
import sys
from pathlib import Path

from torch import nn

from assay.logger.base import BaseLogger


class Telling(BaseLogger):
    def __init__(self, token: str):
        self.token = token

    def reach(self):
        print("connecting as", self.token, file=sys.stderr)
        raise ConnectionError(f"refused: {self.token}")

    def start(self, run): ...

    def log(self, records): ...


class Refusing(BaseLogger):
    def __init__(self, token: str):
        Path("token.txt").write_text(token)
        logging.getLogger("library").warning("connecting as %s", token)
        raise ConnectionError(f"no entry with {token!r}, or {token[:25]}…")

    def start(self, run): ...

    def log(self, records): ...

    def file(self, path, name): ...

    def close(self, status): ...


class Marking(nn.Module):
    def __init__(self, token: str):
        super().__init__()
        self.token = token

    def extra_repr(self):
        return f"token={self.token}"

    def forward(self, image):
        return image


class Raising(nn.Module):
    def __init__(self, token: str, num_classes: int):
        super().__init__()
        self.layer, self.token = nn.Linear(64, num_classes), token

    def forward(self, batch):
        raise RuntimeError(f"what is {self.token}?")


class Unbuildable(nn.Module):
    def __init__(self, token: str, num_classes: int):
        raise ValueError(f"what is {token}?")
"""


@pytest.fixture(autouse=True)
def _token(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (project / "mine.py").write_text(CODE)
    monkeypatch.setenv("TOKEN", TOKEN)
    yield
    secrets.forget()


def holding(folder: Path) -> list[str]:
    """The files in which the token stands, or its beginning."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and b"correct horse" in path.read_bytes()]


def test_a_logger_gets_it_and_no_record_does(project: Path, tiny: Tiny) -> None:
    loggers = [{"type": "mine:Refusing", "args": {"token": "${env:TOKEN}"}}]
    run = assay.train(tiny({"loggers": loggers, "trainer.args.epochs": 1, "name": "n-${seed}"}), quiet=True)
    assert (project / "token.txt").read_text() == TOKEN
    cursor = json.loads((run.path / "courier" / "mine.Refusing.json").read_text())
    assert 'no entry with "${env:TOKEN}"' in cursor["error"]
    assert run.config["loggers"][0]["args"] == {"token": "${env:TOKEN}"}
    assert run.config["name"] == "n-0"
    assert "connecting as ${env:TOKEN}" in run.folder.log.read_text()
    assert holding(run.path) == []


def test_what_a_logger_prints_when_it_is_asked_is_shown_without_it(
    project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    report = assay.check(tiny({"loggers": [{"type": "mine:Telling", "args": {"token": "${env:TOKEN}"}}]}))
    assert report.loggers == {"mine:Telling": "refused: ${env:TOKEN}"}
    assert capsys.readouterr().err == "connecting as ${env:TOKEN}\n"


def test_what_is_recorded_of_the_transforms_is_without_it(project: Path, tiny: Tiny) -> None:
    marking = {"type": "mine:Marking", "args": {"token": "${env:TOKEN}"}}
    changes = {"data.transforms": {"train": [marking]}, "loggers": ["TensorBoardLogger"], "trainer.args.epochs": 1}
    run = assay.train(tiny(changes), quiet=True)
    assert "token=${env:TOKEN}" in run.folder.transforms.read_text()
    assert holding(run.path) == []


@pytest.mark.parametrize("model", ["Raising", "Unbuildable"])
def test_a_component_that_raises_it_is_told_without_it(project: Path, tiny: Tiny, model: str) -> None:
    config = tiny({"model": {"type": f"mine:{model}", "args": {"token": "${env:TOKEN}"}}})
    with pytest.raises(AssayError) as caught:
        assay.train(config, quiet=True)
    assert "what is ${env:TOKEN}?" in str(caught.value)
    assert "correct horse" not in str(caught.value)
    assert holding(project) == []


def test_a_run_folder_is_run_again_with_what_the_environment_holds_then(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "3")
    run = assay.train(tiny({"seed": "${env:SEED}", "trainer.args.epochs": 1}), quiet=True)
    assert run.config["seed"] == "${env:SEED}"
    again = assay.train(run.folder.config, quiet=True)
    assert again.last == run.last
    monkeypatch.delenv("SEED")
    with pytest.raises(ConfigError, match="SEED is not set"):
        assay.train(run.folder.config, quiet=True)


def test_objects_of_python_may_stand_beside_references(project: Path, tiny: Tiny) -> None:
    from torch import nn

    config = tiny({"seed": 2, "name": "${project}-${seed}", "folder": "${env:FOLDER:saved}", "trainer.args.epochs": 1})
    run = assay.train(config, loss=nn.CrossEntropyLoss, quiet=True)
    assert run.config["name"] == "tests-2"
    assert run.config["folder"] == "${env:FOLDER:saved}"
