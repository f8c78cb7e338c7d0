from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.errors import RunBusyError
from assay.logger.courier import launch
from assay.logger.courier.backlog import Backlog, Trouble
from assay.logger.courier.cursor import Cursor
from assay.logger.courier.launch import Courier, stop, wait
from assay.store.journal import JOURNAL, Journal, cut, read
from assay.store.lock import is_held
from assay.utils.atomic import read_json
from event_files import journalled, scalars

WITNESS = "own_loggers:Witness"
NAME = "own_loggers.Witness"

Start = Callable[..., "subprocess.Popen[bytes]"]


def _records(backlogs: dict[str, Backlog]) -> dict[str, int]:
    return {name: backlog.records for name, backlog in backlogs.items()}


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
    assert _records(wait(courier, run.folder, 60)) == {NAME: 0, "TensorBoardLogger": 0}
    assert courier.returncode == 0
    assert run.seen("record") == list(range(5005))
    assert run.seen("close") == ["completed"]
    assert scalars(run.folder) == journalled(run.folder)


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
    assert not is_held(run.folder / "courier" / "TensorBoardLogger.lock")
    run.status("completed")
    run.release()
    result = run.sync()
    assert {name: (logger.backlog.records, logger.backlog.cursor.error) for name, logger in result.items()} == {
        "TensorBoardLogger": (0, None),
        NAME: (0, None),
    }
    assert scalars(run.folder) == journalled(run.folder)
    seen = run.seen("record")
    assert sorted(set(seen)) == list(range(5500))  # a logger without memory sees a batch twice at most


def test_a_sigterm_ends_a_courier_between_two_batches(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(20)
    courier = start_courier(run)
    run.wait_until(lambda: len(run.seen("record")) == 20)
    assert _records(stop(courier, run.folder)) == {NAME: 0}
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
    assert _records(stop(courier, run.folder, deadline=60)) == {"own_loggers.Hanging": 6, NAME: 0}
    assert courier.returncode == 6
    assert "6 records and 2 files are not delivered to own_loggers.Hanging" in run.log()


def test_after_its_deadline_a_courier_says_what_is_left(make_run: Callable[..., Any], start_courier: Start) -> None:
    run = make_run(WITNESS, "TensorBoardLogger", "NoLogger")
    (run.folder / "down").touch()
    run.append(7)
    run.status("completed")
    courier = start_courier(run, deadline=0.5)
    assert _records(wait(courier, run.folder, 60)) == {NAME: 7, "TensorBoardLogger": 0, "NoLogger": 7}
    assert courier.returncode == 6
    log = run.log()
    assert log.count("ConnectionError: no answer") == 1
    assert "7 records are not delivered to own_loggers.Witness; later: assay sync" in log
    assert log.count("no logger is named 'NoLogger'") == 1
    assert "Traceback" not in log
    (run.folder / "down").unlink()
    assert run.sync(NAME)[NAME].sent == 7
    assert run.seen("record") == list(range(7))


def test_one_courier_serves_a_run_and_the_next_one_takes_over(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(2)
    first = start_courier(run)
    run.wait_until(lambda: run.seen("record") == [0, 1])
    with pytest.raises(RunBusyError, match="another process delivers run-0 to"):
        run.sync()
    second = start_courier(run)
    run.append(2)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3])
    assert run.seen("start") == [-1]
    run.wait_until(lambda: run.cursor(NAME)["id"] == 3)
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


def test_a_courier_that_was_killed_is_replaced(make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_SETTLED", 0.0)
    run = make_run(WITNESS)
    run.hold()
    courier = Courier(run.folder, run.allowed)
    run.append(2)
    run.wait_until(lambda: run.seen("record") == [0, 1] and run.cursor(NAME)["id"] == 1)
    os.kill(read_json(run.folder / "courier" / f"{NAME}.lock")["pid"], signal.SIGKILL)
    told: list[str] = []
    run.wait_until(lambda: bool(told.extend(courier.look()[0]) or told))
    assert told == ["warning: the courier was ended by signal 9; another one goes on from where it was"]
    run.append(2)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3])
    run.status("completed")
    assert not any(map(str, courier.wait(60).values()))
    assert run.seen("close") == ["completed"]


def test_a_run_that_ends_with_a_dead_courier_is_delivered_by_another(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS)
    run.hold()
    courier = Courier(run.folder, run.allowed)
    run.wait_until(lambda: (run.folder / "courier" / f"{NAME}.lock").exists() and run.seen("start") == [-1])
    os.kill(read_json(run.folder / "courier" / f"{NAME}.lock")["pid"], signal.SIGKILL)
    run.append(2)
    run.status("completed")
    run.wait_until(lambda: not is_held(run.folder / "courier" / f"{NAME}.lock"))
    assert not any(map(str, courier.wait(60).values()))
    assert run.seen("record") == [0, 1]


def test_a_logger_in_trouble_is_told_once_and_so_is_its_recovery(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS, "NoLogger")
    run.hold()
    (run.folder / "down").touch()
    run.append(7)
    start_courier(run)
    trouble, told = Trouble(run.folder), []

    def look() -> str:
        news, behind = trouble.look()
        told.extend(news)
        return behind

    run.wait_until(lambda: len((look(), told)[1]) == 2)
    assert look() == f"NoLogger 7 records behind, {NAME} 7 records behind"
    first, second = sorted(told, key=lambda sentence: NAME in sentence)
    assert "NoLogger cannot be used" in first
    assert f"{NAME} takes no records: ConnectionError: no answer" in second
    (run.folder / "down").unlink()
    run.wait_until(lambda: len((look(), told)[1]) == 3)
    assert told[2] == f"{NAME} takes records again"


def test_only_a_logger_that_prints_gets_the_standard_output(make_run: Callable[..., Any], start_courier: Start) -> None:
    for logger, expected in (("own_loggers:Printing", False), ("ConsoleLogger", True)):
        run = make_run(logger)
        descriptor = launch._console(run.folder)
        assert (descriptor is not None) is expected
        if descriptor is not None:
            os.close(descriptor)


def test_what_an_earlier_courier_has_left_is_no_news(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS)
    Cursor(WITNESS, id=3, status="retrying", error="gone").save(run.folder / "courier" / f"{NAME}.json")
    time.sleep(0.01)
    trouble = Trouble(run.folder)
    assert trouble.look() == ([], "")
    Cursor(WITNESS, id=3, status="retrying", error="again").save(run.folder / "courier" / f"{NAME}.json")
    assert "takes no records: again" in trouble.look()[0][0]
