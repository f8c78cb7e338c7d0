from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from assay.logger.courier import delivery as module
from assay.logger.courier.backlog import backlogs
from assay.logger.courier.cursor import Cursor, components

WITNESS = "own_loggers:Witness"
NAME = "own_loggers.Witness"


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("own_loggers:Witness")


def test_records_arrive_once_in_order_and_then_the_end(run: Any, deliver: Callable[..., Any]) -> None:
    run.append(2345)
    delivery = deliver(run)
    assert run.seen("record") == list(range(2345))
    assert run.seen("close") == ["completed"]
    assert run.seen("start") == [-1]
    assert (run.seen("id"), run.seen("project"), run.seen("name")) == (["run-0"], ["digits"], ["resnet"])
    assert delivery.sent == 2345
    cursor = run.cursor(NAME)
    assert (cursor["id"], cursor["status"], cursor["error"]) == (2344, "closed", None)


def test_nothing_is_delivered_twice_by_a_second_round(run: Any, deliver: Callable[..., Any]) -> None:
    run.append(3)
    deliver(run)
    run.append(2)
    assert deliver(run).sent == 2
    assert run.seen("record") == [0, 1, 2, 3, 4]
    assert run.seen("start") == [-1, 2]
    assert run.seen("file") == ["config.json", "transforms.json", "status.json"]


def test_a_logger_that_fails_a_few_times_gets_everything_and_it_is_said_once(
    make_run: Callable[..., Any], deliver: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run({"type": WITNESS, "args": {"failures": 4}})
    run.append(5)
    with caplog.at_level(logging.INFO):
        deliver(run)
    assert run.seen("record") == [0, 1, 2, 3, 4]
    assert run.seen("start") == [-1] * 5
    assert caplog.text.count("ConnectionError: no answer") == 1
    assert caplog.text.count("delivered to again") == 1
    assert run.cursor(NAME)["error"] is None


def test_while_a_logger_fails_its_cursor_says_why(run: Any, begin: Callable[..., Any]) -> None:
    (run.folder / "down").touch()
    run.append(3)
    live = begin(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    run.wait_until(lambda: run.cursor(NAME)["status"] == "retrying")
    assert run.cursor(NAME)["id"] == -1
    assert "ConnectionError: no answer" in run.cursor(NAME)["error"]
    assert run.left() == {NAME: 3}
    (run.folder / "down").unlink()
    live.end("completed")
    assert run.seen("record") == [0, 1, 2]
    assert run.left() == {NAME: 0}


def test_a_failing_logger_that_is_told_to_stop_keeps_its_place(run: Any, begin: Callable[..., Any]) -> None:
    (run.folder / "down").touch()
    run.append(3)
    live = begin(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    live.stop.set()
    live.end("completed")
    assert run.seen("close") == []
    assert run.cursor(NAME)["id"] == -1


def test_a_stop_lets_go_of_the_run_without_ending_it(run: Any, begin: Callable[..., Any]) -> None:
    run.append(3)
    live = begin(run)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2])
    live.stop.set()
    live.thread.join(30)
    assert run.seen("close") == ["running"]
    assert run.cursor(NAME)["id"] == 2


def test_records_written_during_a_delivery_arrive(run: Any, begin: Callable[..., Any]) -> None:
    live = begin(run)
    for count in range(1, 6):
        run.append(1)
        run.wait_until(lambda count=count: len(run.seen("record")) == count)
    run.append(3)
    live.end("interrupted")
    assert run.seen("record") == list(range(8))
    assert run.seen("close") == ["interrupted"]


def test_files_are_delivered_and_again_when_they_have_changed(run: Any, deliver: Callable[..., Any]) -> None:
    (run.folder / "code" / "models").mkdir(parents=True)
    (run.folder / "code" / "models" / "net.py").write_text("depth = 18")
    run.write("environment.json", {})
    deliver(run)
    names = ["config.json", "transforms.json", "environment.json", "code/models/net.py", "status.json"]
    assert run.seen("file") == names
    assert run.seen("content")[-2] == "depth = 18"
    (run.folder / "code" / "models" / "net.py").write_text("depth = 50")
    deliver(run)
    assert run.seen("file") == [*names, "code/models/net.py"]
    assert run.seen("content")[-1] == "depth = 50"


@pytest.mark.parametrize(
    ("logger", "reason"),
    [
        ("TensorBordLogger", "TensorBoardLogger"),
        ("os:system", "not in a place"),
        ("own_loggers:Missing", "has no 'Missing'"),
        ("own_loggers:Path", "not a logger"),
        ("own_loggers:Broken", "No module named 'tracker'"),
        ({"type": WITNESS, "args": {"failurs": 1}}, "failures"),
        ({"type": WITNESS, "args": {"failures": "one"}}, "failures"),
    ],
)
def test_a_logger_that_cannot_be_built_is_said_once_and_given_up(
    make_run: Callable[..., Any],
    deliver: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    logger: Any,
    reason: str,
) -> None:
    run = make_run(logger)
    run.append(1)
    delivery = deliver(run, None)  # the run goes on, and this returns all the same
    assert delivery.cursor.status == "failed"
    assert reason in str(delivery.cursor.error)
    assert caplog.text.count("cannot be used") == 1
    assert list(run.left().values()) == [1]


def test_loggers_of_one_type_have_a_cursor_each() -> None:
    config = {"loggers": ["A", {"type": "m.n:B", "args": {"x": 1}}, {"type": "A"}, {"type": "A", "args": None}]}
    found = [(component.name, component.type, component.args) for component in components(config)]
    assert found == [("A", "A", {}), ("m.n.B", "m.n:B", {"x": 1}), ("A-2", "A", {}), ("A-3", "A", {})]
    assert components({}) == []


def test_a_cursor_of_another_type_or_a_damaged_one_is_not_used(run: Any) -> None:
    path = run.folder / "courier" / "x.json"
    Cursor("A", id=7, files={"config.json": "ab"}).save(path)
    assert Cursor.load(path, "A").id == 7
    assert Cursor.load(path, "B").id == -1
    path.write_bytes(b"")
    assert Cursor.load(path, "A").id == -1
    assert run.left() == {NAME: 0}


def test_what_is_refused_for_good_is_kept_with_its_reason_and_holds_up_nothing(
    make_run: Callable[..., Any], deliver: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run({"type": "own_loggers:Picky", "args": {"refuses": [2, 4]}})
    run.append(4)
    run.append(1, loss=float("inf"))
    run.append(2)
    deliver(run)
    path = run.folder / "courier" / "own_loggers.Picky.refused.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["kind"], line["id"], line["reason"]) for line in lines] == [
        ("record", 2, "no 2s here"),
        ("record", 4, "no 4s here"),
    ]
    assert lines[1]["record"]["values"]["loss"] == "Infinity"
    assert caplog.text.count("refuses records for good: no 2s here") == 1
    cursor = run.cursor("own_loggers.Picky")
    assert (cursor["id"], cursor["refused"], cursor["status"]) == (6, 2, "closed")
    (run.folder / "courier" / "own_loggers.Picky.json").unlink()
    deliver(run)
    assert len(path.read_text().splitlines()) == 2


def test_samples_arrive_once_and_in_order(run: Any, deliver: Callable[..., Any]) -> None:
    run.measure(3)
    deliver(run)
    run.measure(2)
    deliver(run)
    assert run.seen("cpu") == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert run.cursor(NAME)["sample"] == run.seen("sample")[-1]
    assert not str(backlogs(run.folder)[NAME])
    run.measure(1)
    assert str(backlogs(run.folder)[NAME]) == "the last samples of the machine"


def test_what_was_confirmed_shortly_before_a_failure_is_sent_again(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Any]
) -> None:
    run = make_run("own_loggers:Forgetful")
    live = begin(run)
    run.append(5)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2, 3, 4])
    (run.folder / "down").touch()
    run.append(1)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    (run.folder / "down").unlink()
    live.end("completed")
    assert run.seen("record") == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5]
    assert set(run.seen("start")) == {-1, 4}
    assert live.delivery.sent == 6
    assert run.cursor("own_loggers.Forgetful")["safe"] is None  # what was closed is safe


def test_after_a_crash_of_the_courier_what_may_be_lost_is_sent_again(
    make_run: Callable[..., Any], deliver: Callable[..., Any], begin: Callable[..., Any]
) -> None:
    run = make_run("own_loggers:Forgetful")
    live = begin(run)
    run.append(5)
    run.wait_until(lambda: run.cursor("own_loggers.Forgetful")["id"] == 4 if run.seen("record") else False)
    killed = run.cursor("own_loggers.Forgetful")
    live.end("running")
    run.write("courier/own_loggers.Forgetful.json", killed)
    deliver(run)
    assert run.seen("record") == [0, 1, 2, 3, 4] * 2


def test_a_logger_is_told_that_a_run_lives_while_it_does(
    run: Any, monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    live = begin(run)
    run.wait_until(lambda: len(run.seen("beat")) >= 3)
    live.end("completed")
    count = len(run.seen("beat"))
    assert run.seen("beat") == [True] * count


def test_numbers_come_before_code(run: Any, deliver: Callable[..., Any]) -> None:
    (run.folder / "code").mkdir()
    for number in range(3):
        (run.folder / "code" / f"{number}.py").write_text(f"{number}")
    run.append(2500)
    deliver(run)
    seen = [next(iter(line)) for line in run.lines()]
    assert seen.index("record") < len(seen) - 1 - seen[::-1].index("record") < seen.index("file", 8)
    assert run.seen("file")[2:] == ["code/0.py", "code/1.py", "code/2.py", "status.json"]


def test_a_cursor_that_cannot_be_written_stops_nothing(
    run: Any, deliver: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Cursor, "save", full)
    run.append(3)
    deliver(run)
    assert run.seen("record") == [0, 1, 2]
    assert run.seen("close") == ["completed"]
    assert caplog.text.count("No space left") == 1


def test_two_deliveries_to_one_logger_take_turns(run: Any, begin: Callable[..., Any]) -> None:
    first = begin(run)
    run.wait_until(lambda: first.delivery.lock.exists())
    run.append(3)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2])
    second = begin(run)
    run.append(2)
    run.wait_until(lambda: len(run.seen("record")) == 5)
    first.stop.set()
    first.thread.join(30)
    run.append(1)
    second.end("completed")
    assert run.seen("record") == [0, 1, 2, 3, 4, 5]


def test_a_mistake_in_a_logger_of_ones_own_is_told_with_its_place(
    make_run: Callable[..., Any], begin: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run("own_loggers:Mistaken")
    run.append(1)
    live = begin(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    live.stop.set()
    live.thread.join(30)
    error = run.cursor("own_loggers.Mistaken")["error"]
    assert re.fullmatch(r"AttributeError: 'RunInfo' object has no attribute 'foldr' \(own_loggers\.py:\d+\)", error)
    assert caplog.text.count("Traceback") == 1


def test_a_logger_that_wants_to_end_the_process_is_tried_again_like_any_other(
    make_run: Callable[..., Any], begin: Callable[..., Any]
) -> None:
    run = make_run("own_loggers:Leaving")
    run.append(1)
    live = begin(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    live.stop.set()
    live.thread.join(30)
    assert "SystemExit" in run.cursor("own_loggers.Leaving")["error"]
