from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from assay.config.components import Allowed
from assay.errors import ConfigError
from assay.logger.courier.launch import Delivered, sync
from event_files import journalled, scalars

WITNESS = "own_loggers:Witness"
NAME = "own_loggers.Witness"

Start = Callable[..., "subprocess.Popen[bytes]"]


def test_a_run_can_be_delivered_to_a_logger_that_it_did_not_have(make_run: Callable[..., Any]) -> None:
    run = make_run()
    run.append(3)
    run.status("completed")
    assert run.sync() == {}
    assert run.sync("TensorBoardLogger")["TensorBoardLogger"].sent == 3
    assert scalars(run.folder) == journalled(run.folder)
    args = {"to": "new.jsonl"}
    assert run.sync(WITNESS, args=args)[NAME].sent == 3
    assert run.seen("record", "new.jsonl") == [0, 1, 2]
    assert run.seen("close", "new.jsonl") == ["completed"]


def test_one_of_the_loggers_of_a_run_can_be_named(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS, {"type": WITNESS, "args": {"to": "second.jsonl"}})
    run.append(3)
    assert list(run.sync(f"{NAME}-2")) == [f"{NAME}-2"]
    assert (run.seen("record"), run.seen("record", "second.jsonl")) == ([], [0, 1, 2])
    assert list(run.sync(WITNESS)) == [NAME, f"{NAME}-2"]
    assert run.seen("record") == [0, 1, 2]


def test_a_sync_of_a_failing_logger_ends_and_says_why(make_run: Callable[..., Any]) -> None:
    run = make_run(WITNESS)
    (run.folder / "down").touch()
    run.append(3)
    result = run.sync(deadline=0.3)[NAME]
    assert (result.sent, result.backlog.records) == (0, 3)
    assert "ConnectionError" in str(result.backlog.cursor.error)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run is in this folder"):
        sync([tmp_path], allowed=Allowed(tmp_path))


def test_a_sync_that_follows_goes_on_until_the_run_ends(make_run: Callable[..., Any]) -> None:
    run = make_run()
    run.hold()
    run.append(3)
    done: list[dict[str, Delivered]] = []
    thread = Thread(target=lambda: done.append(run.sync(WITNESS, follow=True)), daemon=True)
    thread.start()
    run.wait_until(lambda: run.seen("record") == [0, 1, 2])
    run.append(2)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3, 4])
    run.status("completed")
    thread.join(30)
    assert run.seen("close") == ["completed"]
    assert done[0][NAME].sent == 5


def test_a_logger_that_the_run_did_not_have_is_fed_beside_the_courier(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS)
    run.hold()
    run.append(3)
    start_courier(run)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2])
    result = run.sync(WITNESS, args={"to": "beside.jsonl"})
    assert result[f"{NAME}-2"].sent == 3
    run.append(1)
    assert run.sync(f"{NAME}-2")[f"{NAME}-2"].sent == 1  # it is known with its arguments
    assert run.seen("record", "beside.jsonl") == [0, 1, 2, 3]


def test_a_sync_takes_over_from_the_courier_of_a_run_that_is_over(
    make_run: Callable[..., Any], start_courier: Start
) -> None:
    run = make_run(WITNESS)
    (run.folder / "down").touch()
    run.append(3)
    run.status("completed")
    courier = start_courier(run, deadline=3600)
    run.wait_until(lambda: "own_loggers.Witness failed" in run.log())
    (run.folder / "down").unlink()
    assert run.sync()[NAME].backlog.records == 0
    courier.wait(30)
    assert sorted(set(run.seen("record"))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("logger", "args", "said"),
    [
        ("TensorBordLogger", {}, "did you mean 'TensorBoardLogger'"),
        (WITNESS, {"failurs": 1}, "failures"),
        ("own_loggers:Broken", {}, "No module named 'tracker'"),
    ],
)
def test_a_mistake_in_the_logger_that_is_named_is_one_of_the_command_and_leaves_nothing(
    make_run: Callable[..., Any], logger: str, args: dict[str, Any], said: str
) -> None:
    run = make_run()
    run.append(1)
    with pytest.raises(ConfigError, match=said):
        run.sync(logger, args=args)
    assert list((run.folder / "courier").iterdir()) == []


def test_arguments_for_a_logger_that_the_run_has_are_laid_over_its_own(make_run: Callable[..., Any]) -> None:
    run = make_run({"type": WITNESS, "args": {"failures": 1}})
    run.append(2)
    (name,) = run.sync(WITNESS, args={"to": "other.jsonl"})
    assert name == f"{NAME}-2"
    assert run.cursor(name)["args"] == {"failures": 1, "to": "other.jsonl"}
    assert run.seen("record", "other.jsonl") == [0, 1]
