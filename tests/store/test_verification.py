from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import assay
from assay.store.lock import Lock
from assay.store.run_folder import RunFolder
from assay.store.verification import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with something of every kind."""
    config = {
        "project": "tests",
        "name": "whole",
        "folder": str(tmp_path_factory.mktemp("saved")),
        "data": {"dataset": "Digits", "loader": {"type": "BatchLoader", "args": {"batch_size": 256}}},
        "model": {"type": "MLP", "args": {"hidden": [4]}},
        "loss": "CrossEntropyLoss",
        "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
        "trainer": {"type": "DefaultTrainer", "args": {"epochs": 3}},
        "testing": {"every": None},
        "logging": {"every": "2ba", "histograms": True, "system": None},
        "loggers": [],
    }
    return assay.train(config, preflight=False, quiet=True).path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(whole, tmp_path / "run", symlinks=True)))


def faults(run: RunFolder) -> list[str]:
    return [f"{check.name}: {fault}" for check in verify(run) for fault in check.faults]


def edit(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """The lines of a file, as objects."""
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    change(lines)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def test_a_run_that_nobody_touched_is_whole(run: RunFolder) -> None:
    assert faults(run) == []
    assert [check.name for check in verify(run)] == ["documents", "journal", "checkpoints", "media", "system"]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _retarget(run: RunFolder, name: str, target: str) -> None:
    (run.checkpoints / name).unlink()
    (run.checkpoints / name).symlink_to(target)


DAMAGES: dict[str, tuple[Callable[[RunFolder], object], str]] = {
    "checkpoint": (
        lambda r: _flip(r.checkpoints / "last" / "model.pt"),
        "checkpoints: step-00000018 is damaged: model.pt",
    ),
    "state": (
        lambda r: _flip(r.checkpoints / "last" / "state.json"),
        "checkpoints: step-00000018 is damaged: state.json",
    ),
    "manifest": (lambda r: (r.checkpoints / "last" / "manifest.json").unlink(), "manifest.json is missing"),
    "link": (lambda r: _retarget(r, "best", "step-00000001"), "checkpoints: best leads to step-00000001"),
    "link out": (lambda r: _retarget(r, "last", "/etc"), "checkpoints: last leads to /etc, which is no checkpoint"),
    "torn": (lambda r: os.truncate(r.journal, r.journal.stat().st_size - 3), "journal.jsonl is torn"),
    "line": (lambda r: r.journal.write_bytes(r.journal.read_bytes().replace(b'"values"', b'"valu', 1)), "line 1 of"),
    "lost record": (lambda r: edit(r.journal, lambda lines: lines.pop(2)), "line 3 of journal.jsonl: it has the id 3"),
    "same step": (
        lambda r: edit(r.journal, lambda lines: lines[1].update(step=lines[0]["step"])),
        "line 2 of journal.jsonl: it measures step 2 of batch again",
    ),
    "position": (
        lambda r: edit(r.journal, lambda lines: lines[0].update(time=1.0)),
        "state.json names byte",
    ),
    "digit": (
        lambda r: edit(r.journal, lambda lines: lines[0]["values"].update(loss=lines[0]["values"]["loss"] * 1.0000001)),
        "is not what it was when this was saved",
    ),
    "media": (lambda r: next(r.media.iterdir()).unlink(), "media: media/"),
    "media out": (
        lambda r: edit(r.journal, lambda lines: lines[3].update(media={"x": {"kind": "text", "path": "../../x"}})),
        "'../../x', which is not in the run folder",
    ),
    "system": (lambda r: r.system.write_bytes(b'{"time": 1}\n{"tim\n{"time": 2}\n'), "system: line 2 of system.jsonl"),
    "config": (lambda r: r.config.write_text("{"), "documents: config.json is damaged"),
    "another config": (
        lambda r: r.config.write_text(r.config.read_text().replace("0.1", "0.2", 1)),
        "documents: config.json is not as the run has written it",
    ),
    "no config": (lambda r: r.config.unlink(), "documents: config.json is missing"),
    "status": (lambda r: r.status.write_text('{"state": "fine"}'), "documents: status.json has the state 'fine'"),
    "list": (lambda r: r.transforms.write_text("[]"), "transforms.json is damaged: it holds a list"),
    "pipe": (lambda r: (r.measurements.unlink(), os.mkfifo(r.measurements)), "measurements.json cannot be read"),
    "folder": (lambda r: (r.environment.unlink(), r.environment.mkdir()), "environment.json cannot be read"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_every_kind_of_damage_is_found_and_named(run: RunFolder, what: str) -> None:
    damage, expected = DAMAGES[what]
    damage(run)
    assert any(expected in fault for fault in faults(run)), faults(run)


def test_a_line_that_is_being_written_is_no_fault(run: RunFolder) -> None:
    with run.journal.open("ab") as stream:
        stream.write(b'{"id": ')
    assert faults(run)
    lock = Lock(run.lock)
    assert faults(run) == []
    lock.release()


def _verify(run: RunFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys\nfrom assay.cli import main\ntry:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(Path(assay.__file__).parents[1])}
    command = [sys.executable, "-c", code, "verify", str(run.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_has_a_line_for_each_kind_and_exit_4_where_one_is_damaged(run: RunFolder) -> None:
    good = _verify(run)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines()[-1] == f"{run.path}: all is whole"
    run.config.unlink()
    _flip(run.checkpoints / "last" / "model.pt")
    bad = _verify(run)
    assert (bad.returncode, bad.stderr) == (4, "")
    assert "config.json is missing" in bad.stdout
    assert bad.stdout.splitlines()[-1] == f"{run.path}: 2 faults"
    plain = orjson.loads(_verify(run, "--json").stdout)
    assert plain["ok"] is False
    assert [len(check["faults"]) for check in plain["checks"]] == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("name", ["status.json", "measurements.json"])
def test_every_flipped_bit_of_a_small_file_that_changes_what_it_says_is_found(run: RunFolder, name: str) -> None:
    path = run.path / name
    content = path.read_bytes()
    before = orjson.loads(content)
    missed = []
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        try:
            says_the_same = orjson.loads(bytes(changed)) == before
        except ValueError:
            says_the_same = False
        if not says_the_same and not faults(run):
            missed.append(at)
    assert missed == []
