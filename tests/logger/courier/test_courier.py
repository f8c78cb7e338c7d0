from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.logger.courier.process import Watch
from assay.store.lock import is_held

PROJECT = Path(__file__).parents[1] / "project"


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("own_loggers:Witness")


def test_a_run_whose_lock_is_held_goes_on(run: Any) -> None:
    run.hold()
    watch = Watch(run.folder)
    assert watch.status is None
    run.status("failed")
    watch.look()
    assert watch.status == "failed"


def test_a_run_that_neither_holds_its_lock_nor_says_how_it_ended_has_died(run: Any) -> None:
    assert Watch(run.folder).status == "died"
    (run.folder / "status.json").unlink()
    assert Watch(run.folder).status == "died"


def test_a_run_that_waits_for_its_courier_has_ended_though_it_holds_its_lock(run: Any) -> None:
    run.hold()
    run.status("interrupted")
    assert Watch(run.folder).status == "interrupted"


def test_a_run_that_was_resumed_goes_on(run: Any) -> None:
    run.status("completed")
    watch = Watch(run.folder)
    run.hold()
    run.status("running")
    watch.look()
    assert watch.status is None


def test_a_free_lock_is_tried_again_only_when_somebody_has_taken_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run.hold()
    run.release()
    tried: list[Path] = []
    monkeypatch.setattr("assay.logger.courier.process.is_held", lambda path: bool(tried.append(path)) or is_held(path))
    watch = Watch(run.folder)
    for _ in range(5):
        watch.look()
    assert (tried, watch.status) == ([run.folder / "run.lock"], "died")
    os.utime(run.folder / "run.lock", (1, 1))
    run.hold()
    watch.look()
    assert watch.status is None


def _courier(run: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "assay.logger.courier",
        str(run.folder),
        "--root",
        str(PROJECT),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_the_project_a_logger_of_it_is_refused_and_what_is_left_is_said(run: Any, tmp_path: Path) -> None:
    run.append(3)
    result = _courier(run, "--root", str(tmp_path))
    assert result.returncode == 6
    assert "not in a place that a logger may come from" in result.stdout
    assert "3 records and 2 files are not delivered to own_loggers.Witness" in result.stdout
    assert run.seen("record") == []


def test_allowed_packages_are_told_to_the_courier(make_run: Callable[..., Any]) -> None:
    run = make_run("json:JSONEncoder")
    assert "not in a place" in _courier(run).stdout
    assert "is not a logger" in _courier(run, "--allow", "json").stdout


def test_the_logger_package_imports_neither_torch_nor_a_tracker() -> None:
    code = """
import sys
import assay.logger, assay.logger.courier.process, assay.logger.courier.launch, assay.logger.machine.sampler
found = {"torch", "tensorboard", "PIL"} & set(sys.modules)
import assay.logger.tensorboard.logger
found |= {"torch", "tensorflow", "tensorboardX"} & set(sys.modules)
sys.exit(" ".join(found) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr == ""
