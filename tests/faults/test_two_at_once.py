"""Many processes that start at once, and a second one on a run that goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import RunBusyError
from assay.store import run_folder
from assay.store.journal import read
from assay.store.lock import Lock, is_held
from assay.store.verification import verify

Tiny = Callable[..., dict[str, Any]]


def _forked(action: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def _start_together(config: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one second and with one of eight endings each, so that names are taken again and again."""
    tokens = iter(os.urandom(1)[0] % 8 for _ in range(10_000))
    monkeypatch.setattr(run_folder.secrets, "token_hex", lambda *_: f"{next(tokens):x}")
    monkeypatch.setattr(run_folder.time, "strftime", lambda *_: "20260101-000000")
    gate, release = os.pipe()

    def one(seed: int) -> None:
        os.close(release)
        os.read(gate, 1)  # until all are there
        assay.train({**config, "seed": seed}, preflight=False, quiet=True)

    children = [_forked(lambda seed=seed: one(seed)) for seed in range(count)]
    os.close(gate)
    os.close(release)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def _require_apart(base: Path, count: int) -> None:
    runs = sorted((base / "tests").iterdir())
    assert len(runs) == count
    seeds = []
    for path in runs:
        run = run_folder.RunFolder(path)
        assert [fault for check in verify(run) for fault in check.faults] == []
        assert run.read_status()["state"] == "completed"
        steps = [record.step for record in read(run.journal) if record.phase == "train"]
        assert steps == [6]
        seeds.append(run.read_config()["seed"])
    assert sorted(seeds) == list(range(count))


@pytest.mark.parametrize(
    "rounds", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.nightly)]
)
def test_eight_runs_of_one_name_in_one_second_have_a_folder_each_and_nothing_mixed(
    project: Path, memory: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    assay.train(tiny({"trainer.args.epochs": 1}), preflight=False, quiet=True)  # what is found out once is inherited
    for number in range(rounds):
        folder = memory / str(number)
        changes = {"data.loader.args.batch_size": 256, "trainer.args.epochs": 1, "logging": {"system": None}}
        with monkeypatch.context() as patched:
            _start_together(tiny({**changes, "folder": str(folder)}), 8, patched)
        _require_apart(folder, 8)


def test_a_second_process_is_told_who_holds_a_run_and_a_killed_holder_lets_go_at_once(
    project: Path, tiny: Tiny
) -> None:
    run = assay.train(tiny({"trainer.args.epochs": 1}), preflight=False, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in run.files if path != run.folder.lock}

    def hold() -> None:
        Lock(run.folder.lock)
        time.sleep(60)

    for _ in range(3):
        holder = _forked(hold)
        while not (is_held(run.folder.lock) and str(holder) in run.folder.lock.read_text()):
            time.sleep(0.005)
        with pytest.raises(RunBusyError, match=f"process {holder} on .* since ") as caught:
            assay.train(resume=run.path, overrides=["trainer.args.epochs=2"], preflight=False, quiet=True)
        assert caught.value.exit_code == 7
        assert {path: path.stat().st_mtime_ns for path in before} == before
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert not is_held(run.folder.lock)
        Lock(run.folder.lock).release()
    again = assay.train(resume=run.path, overrides=["trainer.args.epochs=2"], preflight=False, quiet=True)
    assert again.status["state"] == "completed"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": 1, "host": "h", "since": "now"}'])
def test_a_lock_that_says_nothing_of_its_holder_is_told_all_the_same(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.lock"
    lock = Lock(path)
    path.write_text(content)
    with pytest.raises(RunBusyError, match="in use by another process"):
        Lock(path)
    lock.release()
