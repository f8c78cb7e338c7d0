from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.logger import console
from assay.logger.base import RunInfo
from assay.logger.console import ConsoleLogger
from assay.store.journal import JOURNAL, Record, read


@pytest.fixture
def run(make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("ASSAY_STDOUT", raising=False)
    return make_run()


def started(logger: ConsoleLogger, run: Any, delivered: int = -1) -> ConsoleLogger:
    logger.start(RunInfo(run.folder, "resnet-1", "digits", "resnet", {}, 0.0, delivered))
    return logger


def records(run: Any) -> Sequence[Record]:
    return list(read(run.folder / JOURNAL))


def test_a_record_is_a_line_of_text(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"loss": 0.41, "far": math.inf, "wrong": math.nan}
    run.journal.append(phase="validation", epoch=3, step=84, samples=5376, values=values, time=1767225600.25)
    logger = started(ConsoleLogger(), run)
    logger.log(records(run))
    logger.close("completed")
    first, last = capsys.readouterr().out.splitlines()
    when = "2026-01-01T00:00:00.250+00:00"
    assert first == f"{when} validation epoch=3 step=84 samples=5376 loss=0.41 far=inf wrong=nan"
    assert last.endswith(" resnet-1 status=completed")


def test_a_record_is_an_object_of_json(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"loss": 0.41, "far": -math.inf, "wrong": math.nan}
    run.journal.append(phase="test", epoch=3, step=84, samples=5376, values=values, time=1767225600.25)
    logger = started(ConsoleLogger("json"), run)
    logger.log(records(run))
    logger.close("failed")
    first, last = (json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines())
    assert first == {
        "time": "2026-01-01T00:00:00.250+00:00",
        "run": "resnet-1",
        "phase": "test",
        "epoch": 3,
        "step": 84,
        "samples": 5376,
        "values": {"loss": 0.41, "far": "-inf", "wrong": "nan"},
    }
    assert (last["run"], last["status"]) == ("resnet-1", "failed")


def test_records_of_updates_are_printed_where_they_are_asked_for_and_only_every_so_many(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run.append(20)
    started(ConsoleLogger(), run).log(records(run))
    assert capsys.readouterr().out == ""
    started(ConsoleLogger("json", phases=("batch",), every=8), run).log(records(run))
    assert [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()] == [0, 8, 16]


def test_a_pipe_that_nobody_reads_does_not_hold_it_for_ever(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_PATIENCE", 0.1)
    reading, writing = os.pipe()
    monkeypatch.setenv("ASSAY_STDOUT", str(writing))
    run.append(5000)
    logger = started(ConsoleLogger(phases=("batch",)), run)
    with pytest.raises(TimeoutError):
        logger.log(records(run))
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        logger.log(records(run))
    logger.close("running")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)


def test_a_training_prints_its_measurements_once_where_it_prints_itself(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    logger = {"type": "ConsoleLogger", "args": {"form": "json"}}
    (project / "run.json").write_text(json.dumps(tiny({"loggers": [logger]})))
    train = [sys.executable, "-c", "import assay.cli; assay.cli.main()", "train", "--config", "run.json"]
    done = subprocess.run(train, cwd=project, capture_output=True, text=True, check=True)
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    run = assay.open("last")
    journalled = [record for record in read(run.path / JOURNAL) if record.phase != "batch"]
    assert [(line["phase"], line["step"], line["values"]) for line in printed[:-1]] == [
        (record.phase, record.step, record.values) for record in journalled
    ]
    assert printed[-1]["status"] == "completed"
    assert "epoch   0" in done.stdout
    assert "{" not in (run.path / "run.log").read_text()
