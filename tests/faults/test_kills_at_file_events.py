"""SIGKILL just before events of the file system, from the first folder of a run to its last status: nothing differs."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from file_events import count_to, die_at

import assay
import killing
import tasks
from assay.errors import CheckpointError

SECTIONS = {"checkpoints": {"every": "7ba", "keep_last": 2, "keep_best": 1}}
CONFIG = tasks.config(**SECTIONS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """How many events an uninterrupted run has, and what it leaves."""
    base = tmp_path_factory.mktemp("whole")
    killing.endings(CONFIG, base, [partial(count_to, base / "events")], allow=["tasks"])
    return os.stat(base / "events").st_size, killing.outcome(base)


def _kill_at(numbers: range, whole: tuple[int, dict[str, Any]]) -> None:
    for number in numbers:
        codes = killing.assert_exact(CONFIG, [partial(die_at, number)], whole[1], allow=["tasks"])
        assert codes[0] == -9, f"event {number} of {whole[0]} was not reached"


@pytest.mark.slow
def test_a_kill_at_forty_events_of_a_whole_run_changes_nothing(whole: tuple[int, dict[str, Any]]) -> None:
    assert whole[0] > 300
    _kill_at(range(0, whole[0], whole[0] // 40), whole)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(8))
def test_a_kill_at_every_third_event_of_a_whole_run_changes_nothing(
    part: int, whole: tuple[int, dict[str, Any]]
) -> None:
    _kill_at(range(3 * part, whole[0], 24), whole)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_kill_at_a_hundred_events_of_a_resume_changes_nothing(whole: tuple[int, dict[str, Any]]) -> None:
    """The first kill is in the middle of the run, the second at an event of the resume."""
    for number in range(0, whole[0] // 2, 8):
        kills = [killing.Kill("the step is counted", 16), partial(die_at, number)]
        killing.assert_exact(CONFIG, kills, whole[1], allow=["tasks"])


def test_a_killed_run_without_a_checkpoint_begins_again_and_says_so(memory: Path) -> None:
    codes = killing.endings(CONFIG, memory, [killing.Kill("a batch has come", 2)], allow=["tasks"])
    assert codes == [-9, 0]
    assert killing.outcome(memory)["status.state"] == "completed"
    run = killing.launched(memory)
    assert run is not None
    assert "at step 0, for it had no checkpoint yet" in (run / "output.log").read_text()


def test_a_complete_run_whose_checkpoints_are_gone_does_not_begin_again(memory: Path) -> None:
    killing.endings(CONFIG, memory, [], allow=["tasks"])
    run = killing.launched(memory)
    assert run is not None
    for path in (run / "checkpoints").iterdir():
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    before = (run / "journal.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="is complete, and its checkpoints are gone"):
        assay.train(resume=run, allow=["tasks"], overrides=["trainer.args.epochs=9"], quiet=True)
    assert (run / "journal.jsonl").read_bytes() == before
