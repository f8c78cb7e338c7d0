"""SIGKILL just before events of the file system, from the first folder of a run to its last status: nothing differs.

Each test has a process of its own: torch's autograd does not work in the fork of one in which it has had threads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from file_events import count_to, die_at

import assay
import killing
import tasks
from assay.errors import CheckpointError

CONFIG = tasks.config(checkpoints={"every": "7ba", "keep_last": 2, "keep_best": 1})


def _in_a_process(call: str, seconds: float = 280) -> None:
    folders = (Path(assay.__file__).parents[1], Path(killing.__file__).parent, Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    code = f"import {Path(__file__).stem} as tests; tests.{call}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr


def whole() -> tuple[int, dict[str, Any]]:
    """How many events an uninterrupted run has, and what it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        killing.endings(CONFIG, base, [partial(count_to, base / "events")], allow=["tasks"])
        return os.stat(base / "events").st_size, killing.outcome(base)


def kill_at_every(step: int, first: int = 0) -> None:
    count, expected = whole()
    assert count > 300
    for number in range(first, count, step):
        codes = killing.assert_exact(CONFIG, [partial(die_at, number)], expected, allow=["tasks"])
        assert codes[0] == -9, f"event {number} of {count} was not reached"


def kill_a_resume_at_every(step: int) -> None:
    """The first kill is in the middle of the run, the second at an event of the resume."""
    count, expected = whole()
    for number in range(0, count // 2, step):
        kills = [killing.Kill("the step is counted", 16), partial(die_at, number)]
        killing.assert_exact(CONFIG, kills, expected, allow=["tasks"])


def begin_again(base: Path) -> None:
    assert killing.endings(CONFIG, base, [killing.Kill("a batch has come", 2)], allow=["tasks"]) == [-9, 0]
    assert killing.outcome(base)["status.state"] == "completed"
    run = killing.launched(base)
    assert run is not None
    assert "at step 0, for it had no checkpoint yet" in (run / "output.log").read_text()
    for path in (run / "checkpoints").iterdir():
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    before = (run / "journal.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="is complete, and its checkpoints are gone"):
        assay.train(resume=run, allow=["tasks"], overrides=["trainer.args.epochs=9"], quiet=True)
    assert (run / "journal.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_kill_at_twenty_events_of_a_whole_run_changes_nothing() -> None:
    _in_a_process("kill_at_every(87)")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(8))
def test_a_kill_at_every_third_event_of_a_whole_run_changes_nothing(part: int) -> None:
    _in_a_process(f"kill_at_every(24, {3 * part})", 1700)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_kill_at_a_hundred_events_of_a_resume_changes_nothing() -> None:
    _in_a_process("kill_a_resume_at_every(8)", 1700)


def test_a_killed_run_without_a_checkpoint_begins_again_and_one_whose_checkpoints_are_gone_does_not(
    memory: Path,
) -> None:
    _in_a_process(f"begin_again(tests.Path({str(memory)!r}))")
