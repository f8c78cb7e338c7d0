"""Trainings whose disk is full, without inodes, read-only, or takes small files only: they stop or go on as told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.store.journal import read
from assay.trainer.checkpoint import folder as checkpoint_folder
from assay.trainer.checkpoint.writing import NoRoomError

REFUSED = re.compile(
    r"warning: could not save (step-\d{8}) to \S+/checkpoints: (.*); (step-\d{8}) kept; .* \((\d) of 3\)"
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of the trainings in small_disk.py, on real disks of four megabytes."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("a disk of its own needs `unshare -Urm`, which is not allowed here")
    script = Path(__file__).with_name("small_disk.py")
    folder = tmp_path_factory.mktemp("disks")
    environment = os.environ | {"PYTHONPATH": str(Path(assay.__file__).parents[1])}
    command = ["unshare", "-Urm", sys.executable, str(script), str(folder)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=folder, timeout=200
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("small disks")]  # they are made once for a process


@pytest.mark.parametrize("scene", ["freed", "no inode left", "files of 50 kB at most"])
def test_a_training_goes_on_over_two_refused_saves_and_saves_again_when_there_is_room(
    outcomes: dict[str, Any], scene: str
) -> None:
    now = outcomes[scene]
    refused = [match.groups() for match in map(REFUSED.match, now["printed"].splitlines()) if match]
    assert [(name, kept, count) for name, _, kept, count in refused] == [
        ("step-00000012", "step-00000006", "1"),
        ("step-00000018", "step-00000006", "2"),
    ]
    assert all("free" in room and "needed" in room for _, room, _, _ in refused)
    assert ("no free inodes" in refused[0][1]) == (scene == "no inode left")
    assert (now["exit_code"], now["state"], now["newest"], now["faults"], now["hidden"]) == (0, "completed", 36, [], [])
    assert now["sum"] == outcomes["roomy"]["sum"]


def test_the_third_refusal_in_a_row_stops_with_exit_6_and_the_run_is_resumed_when_there_is_room(
    outcomes: dict[str, Any],
) -> None:
    now = outcomes["stays full"]
    assert re.fullmatch(
        r"could not save step-00000024 to \S+/checkpoints: \d+ KiB free, \d+ KiB needed", now["message"]
    )
    assert re.fullmatch(r"free some space; step-00000006 kept; then go on: assay train --resume \S+", now["hint"])
    assert (now["exit_code"], now["state"], now["newest"], now["hidden"]) == (6, "failed", 6, [])
    again = now["resumed"]
    assert (again["exit_code"], again["state"], again["newest"]) == (0, "completed", 36)
    assert again["sum"] == outcomes["roomy"]["sum"]


def test_the_last_save_of_a_run_is_not_passed_over(outcomes: dict[str, Any]) -> None:
    now = outcomes["full at the end"]
    assert (now["exit_code"], now["state"], now["newest"]) == (6, "failed", 30)
    assert "step-00000036" in now["message"]
    assert now["resumed"]["sum"] == outcomes["roomy"]["sum"]


def test_a_journal_that_cannot_be_written_stops_the_run_and_has_each_step_once_after_the_resume(
    outcomes: dict[str, Any],
) -> None:
    now = outcomes["no byte left"]
    assert now["exit_code"] == 6
    assert re.match(r"could not write \S+/journal.jsonl: ", now["message"])
    assert re.fullmatch(r"0 bytes free, \d+ bytes needed", now["found"])
    assert now["resumed"]["steps"] == outcomes["roomy"]["steps"] == list(range(1, 37))
    assert now["resumed"]["sum"] == outcomes["roomy"]["sum"]


@pytest.mark.parametrize("how", ["checked", "unchecked", "resumed"])
def test_on_a_read_only_disk_nothing_begins(outcomes: dict[str, Any], how: str) -> None:
    now = outcomes["read-only"][how]
    assert now["exit_code"] == 6
    assert now["message"].endswith("Read-only file system")
    assert now["hint"].startswith("make it writable")
    assert "epoch" not in now["printed"]


def test_where_the_best_could_not_be_saved_it_is_told_and_another_is_tested_as_what_it_is(
    project: Path,
    tiny: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish = checkpoint_folder.publish

    def refusing(target: Path, *rest: Any) -> None:
        if target.name == "step-00000011":
            raise NoRoomError("1 MiB free, 2 MiB needed")
        publish(target, *rest)

    monkeypatch.setattr(checkpoint_folder, "publish", refusing)
    changes = {"trainer.args.monitor": "max validation/loss", "trainer.args.epochs": 3, "testing": {"every": None}}
    run = assay.train(tiny(changes), preflight=False)
    printed = capsys.readouterr().out
    assert "could not save step-00000011" in printed
    assert "warning: the best weights, of step 11, could not be saved; those of step 33 are tested" in printed
    (tested,) = [record for record in read(run.folder.journal) if record.phase == "test"]
    assert (tested.step, tested.epoch, tested.samples) == (33, 2, 3 * 1293)
    assert "test/loss" not in run.best
    assert run.status["state"] == "completed"
