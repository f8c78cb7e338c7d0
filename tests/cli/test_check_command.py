"""`assay check` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.cli import main
from assay.experiment.preflight import Report
from assay.logger.tensorboard.logger import TensorBoardLogger

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture
def check(project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def check(changes: dict[str, Any] | None = None, *arguments: str) -> tuple[int, str, str]:
        (project / "run.json").write_text(json.dumps(tiny(changes)))
        with pytest.raises(SystemExit) as ended:
            main(["check", "run.json", *arguments])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return check


def test_a_run_that_would_start_is_described_and_nothing_is_left(
    check: Callable[..., tuple[int, str, str]], project: Path
) -> None:
    before = sorted(project.rglob("*"))
    code, out, err = check({"loggers": ["TensorBoardLogger"]})
    assert (code, err) == (0, "")
    for word in ("parameters", "FLOPs", "memory", "steps", "checkpoints", "learning rate", "can be reached"):
        assert word in out
    assert sorted(project.rglob("*")) == sorted([*before, project / "run.json"])


def test_json_holds_every_figure(check: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = check({}, "--json")
    said = json.loads(out)
    assert code == 0
    assert said["ok"] is True
    assert set(Report.__dataclass_fields__) < set(said)


def test_mistakes_in_json_have_file_line_column_and_key(check: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = check({"seed": "x", "optimizer.args.lr": -1}, "--json")
    said = json.loads(out)
    assert (code, said["exit_code"], said["ok"], err) == (2, 2, False, "")
    places = [(problem["key"], problem["file"], problem["line"]) for problem in said["problems"]]
    assert sorted(places) == [("optimizer.args.lr", "run.json", 1), ("seed", "run.json", 1)]
    assert said["problems"] == sorted(said["problems"], key=lambda problem: problem["column"])


def test_a_device_that_is_not_there_is_told(check: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = check({"host.device": "cuda:99"})
    assert code == 2
    assert "host.device" in err


def test_data_that_is_missing_is_exit_3(check: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = check({"data.dataset": {"type": "ImageFolder", "args": {"root": "nowhere"}}})
    assert code == 3
    assert "nowhere" in err


def test_a_folder_that_cannot_be_written_is_exit_6(check: Callable[..., tuple[int, str, str]], project: Path) -> None:
    (project / "taken").write_text("a file")
    code, _, err = check({"folder": "taken/runs"})
    assert code == 6
    assert "taken" in err


def test_a_logger_that_cannot_be_reached_keeps_no_run_from_starting(
    check: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TensorBoardLogger) -> None:
        raise ConnectionRefusedError("nobody listens on port 27017")

    monkeypatch.setattr(TensorBoardLogger, "reach", refuse)
    code, out, _ = check({"loggers": ["TensorBoardLogger"]})
    assert code == 0
    assert "nobody listens on port 27017" in out
    assert "the run would go on without TensorBoardLogger" in " ".join(out.split())


def test_a_key_is_explained(check: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = check({}, "--set", "optimizer.args.lr=0.5", "--explain", "optimizer.args.lr")
    assert code == 0
    assert "optimizer.args.lr = 0.5" in out
    assert "--set optimizer.args.lr=0.5" in out
    assert "replaced:" in out


def test_a_key_with_a_mistake_is_explained_and_the_mistake_is_pointed_at(
    check: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = check({"seed": "x"}, "--set", "optimizer.args.lr=-1", "--explain", "optimizer.args.lr")
    assert code == 0
    assert "learning rate" in out
    assert "note: there are 2 mistakes: assay check run.json" in out
