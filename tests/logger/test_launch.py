from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.config.components import Allowed
from assay.errors import ConfigError, RunBusyError
from assay.logger.launch import start, stop, sync, wait
from assay.store.journal import JOURNAL, Journal, cut, read
from assay.store.lock import is_held

WITNESS = "own_loggers:Witness"
NAME = "own_loggers.Witness"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_courier() -> Iterator[Start]:
    """Start a real courier; none outlives its test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(run: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(run.folder, run.allowed, **options))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def _log(run: Any) -> str:
    return str((run.folder / "run.log").read_text())


def _scalars(folder: Path) -> list[tuple[str, int, float, str]]:
    accumulator = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0}).Reload()
    return sorted(
        (tag, event.step, event.wall_time, str(np.float32(event.value)))
        for tag in accumulator.Tags()["scalars"]
        for event in accumulator.Scalars(tag)
    )


def _journalled(folder: Path) -> list[tuple[str, int, float, str]]:
    return sorted(
        (tag, record.step, record.time, str(np.float32(value)))
        for record in read(folder / JOURNAL)
        for tag, value in record.scalars()
    )


def test_a_courier_delivers_a_run_as_it_grows_and_ends_with_it(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS, "TensorBoardLogger")
    run.hold()
    run.append(5000)
    courier = start_courier(run)
    run.wait_until(lambda: len(run.seen("record")) == 5000)
    run.append(3)
    run.wait_until(lambda: len(run.seen("record")) == 5003)
    assert courier.poll() is None
    run.append(2)
    run.status("completed")
    assert wait(courier, run.folder, 60) == {NAME: 0, "TensorBoardLogger": 0}
    assert courier.returncode == 0
    assert run.seen("record") == list(range(5005))
    assert run.seen("close") == ["completed"]
    assert _scalars(run.folder) == _journalled(run.folder)


def test_the_death_of_the_trainer_ends_the_courier(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(4)
    courier = start_courier(run)
    run.wait_until(lambda: len(run.seen("record")) == 4)
    run.release()
    wait(courier, run.folder, 60)
    assert courier.returncode == 0
    assert run.seen("close") == ["died"]


def test_a_courier_killed_again_and_again_loses_and_doubles_nothing(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run("TensorBoardLogger", WITNESS)
    run.hold()
    chance = random.Random(0)
    run.append(3000)
    for _ in range(5):
        courier = start_courier(run)
        time.sleep(chance.uniform(0.2, 1.0))
        run.append(500)
        courier.kill()
        courier.wait()
    assert not is_held(run.folder / "courier" / "lock")
    run.status("completed")
    run.release()
    result = sync(run.folder, allowed=run.allowed)
    assert {name: (logger.left, logger.error) for name, logger in result.items()} == {
        "TensorBoardLogger": (0, None),
        NAME: (0, None),
    }
    assert _scalars(run.folder) == _journalled(run.folder)
    seen = run.seen("record")
    assert sorted(set(seen)) == list(range(5500))  # a logger without memory sees a batch twice at most


def test_a_sigterm_ends_a_courier_between_two_batches(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(20)
    courier = start_courier(run)
    run.wait_until(lambda: len(run.seen("record")) == 20)
    assert stop(courier, run.folder) == {NAME: 0}
    assert courier.returncode == 0
    assert run.seen("close") == ["running"]
    assert run.cursor(NAME)["id"] == 19


def test_a_logger_that_hangs_delays_neither_the_others_nor_the_end(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run("own_loggers:Hanging", WITNESS)
    run.hold()
    run.append(6)
    courier = start_courier(run)
    run.wait_until(lambda: len(run.seen("record")) == 6 and (run.folder / "hangs").exists())
    assert stop(courier, run.folder, deadline=60) == {"own_loggers.Hanging": 6, NAME: 0}
    assert courier.returncode == 6
    assert "6 records are not delivered to own_loggers.Hanging" in _log(run)


def test_after_its_deadline_a_courier_says_what_is_left(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS, "TensorBoardLogger", "NoLogger")
    (run.folder / "down").touch()
    run.append(7)
    run.status("completed")
    courier = start_courier(run, deadline=0.5)
    assert wait(courier, run.folder, 60) == {NAME: 7, "TensorBoardLogger": 0, "NoLogger": 7}
    assert courier.returncode == 6
    log = _log(run)
    assert log.count("ConnectionError: no answer") == 1
    assert "7 records are not delivered to own_loggers.Witness; later: assay sync" in log
    assert log.count("no logger is named 'NoLogger'") == 1
    assert "Traceback" not in log
    (run.folder / "down").unlink()
    assert sync(run.folder, NAME, allowed=run.allowed)[NAME].sent == 7
    assert run.seen("record") == list(range(7))


def test_one_courier_serves_a_run_and_the_next_one_takes_over(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(2)
    first = start_courier(run)
    run.wait_until(lambda: run.seen("record") == [0, 1])
    with pytest.raises(RunBusyError, match="another courier delivers run-0"):
        sync(run.folder, allowed=run.allowed)
    second = start_courier(run)
    run.append(2)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3])
    assert run.seen("start") == [-1]
    first.kill()
    run.append(2)
    run.wait_until(lambda: run.seen("record") == list(range(6)))
    assert second.poll() is None
    run.status("completed")
    wait(second, run.folder, 60)
    assert run.seen("close") == ["completed"]


def test_the_courier_of_a_dead_trainer_makes_way_for_that_of_the_next(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS, {"type": WITNESS, "args": {"to": "other.jsonl", "failures": 10**6}})
    run.hold()
    run.append(3)
    offset = run.journal.offset
    run.append(3)
    first = start_courier(run, deadline=3600)
    run.wait_until(lambda: len(run.seen("record")) == 6)
    run.release()
    run.wait_until(lambda: run.seen("close") == ["died"])
    cut(run.folder, offset, 3)
    run.hold()
    run.journal = Journal(run.folder / JOURNAL)
    run.append(1, loss=3.0)
    second = start_courier(run, deadline=0.5)
    first.wait(60)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3, 4, 5, 3])
    run.status("completed")
    wait(second, run.folder, 60)
    assert run.seen("close") == ["died", "completed"]


def test_a_courier_is_a_nice_process_of_its_own_without_torch(
    make_run: Callable[..., Any], start_courier: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What lies in the folder that the user is in does not shadow Python's own modules.
    (tmp_path / "logging.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    run = make_run("own_loggers:Nice", "TensorBoardLogger")
    run.append(1)
    run.status("completed")
    courier = start_courier(run)
    wait(courier, run.folder, 60)
    facts = json.loads((run.folder / "process.json").read_text())
    assert facts == {
        "nice": 19,
        "session": courier.pid,
        "pid": courier.pid,
        "torch": False,
        "numpy threads": "1",
    }
    assert facts["session"] != os.getsid(0)


def test_the_journal_of_a_run_does_not_feel_its_courier_die(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS)
    run.hold()
    courier = start_courier(run)
    run.append(50)
    os.kill(courier.pid, signal.SIGKILL)
    run.append(50)
    assert [record.id for record in read(run.folder / JOURNAL)] == list(range(100))
    assert is_held(run.folder / "run.lock")


def test_a_run_can_be_delivered_to_a_logger_that_it_did_not_have(make_run: Callable[..., Any]) -> None:
    run = make_run()
    run.append(3)
    run.status("completed")
    assert sync(run.folder, allowed=run.allowed) == {}
    assert sync(run.folder, "TensorBoardLogger", allowed=run.allowed)["TensorBoardLogger"].sent == 3
    assert _scalars(run.folder) == _journalled(run.folder)
    args = {"to": "new.jsonl"}
    assert sync(run.folder, WITNESS, args=args, allowed=run.allowed)[NAME].sent == 3
    assert run.seen("record", "new.jsonl") == [0, 1, 2]
    assert run.seen("close", "new.jsonl") == ["completed"]


def test_one_of_the_loggers_of_a_run_can_be_named(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS, {"type": WITNESS, "args": {"to": "second.jsonl"}})
    run.append(3)
    assert list(sync(run.folder, f"{NAME}-2", allowed=run.allowed)) == [f"{NAME}-2"]
    assert (run.seen("record"), run.seen("record", "second.jsonl")) == ([], [0, 1, 2])
    assert list(sync(run.folder, WITNESS, allowed=run.allowed)) == [NAME, f"{NAME}-2"]
    assert run.seen("record") == [0, 1, 2]


def test_a_sync_of_a_failing_logger_ends_and_says_why(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS)
    (run.folder / "down").touch()
    run.append(3)
    result = sync(run.folder, allowed=run.allowed, deadline=0.3)[NAME]
    assert (result.sent, result.left) == (0, 3)
    assert "ConnectionError" in str(result.error)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run is in this folder"):
        sync(tmp_path, allowed=Allowed(tmp_path))
