from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest

from assay.logger import delivery as module
from assay.logger.cursor import Cursor, components, left
from assay.logger.delivery import Delivery
from assay.store.journal import JOURNAL, Journal, cut

WITNESS = "own_loggers:Witness"
NAME = "own_loggers.Witness"


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "LONGEST", 0.05)
    monkeypatch.setattr(module, "LONGEST_AFTER", 0.05)


@pytest.fixture
def deliver(make_run: Callable[..., Any]) -> Callable[..., Any]:
    def make(run: Any, status: str | None = "completed") -> Delivery:
        """Deliver to the first logger of a run that has ended."""
        (component, *_) = components({"loggers": run.loggers})
        delivery = Delivery(run.folder, component, run.allowed)
        delivery.run(lambda: status, Event())
        return delivery

    return make


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run(WITNESS)


class _Live:
    """A delivery in a thread, of a run that goes on."""

    def __init__(self, run: Any) -> None:
        (component,) = components({"loggers": run.loggers})
        self.delivery = Delivery(run.folder, component, run.allowed)
        self.status: str | None = None
        self.stop = Event()
        self.thread = Thread(target=self.delivery.run, args=(lambda: self.status, self.stop), daemon=True)
        self.thread.start()

    def end(self, status: str) -> None:
        self.status = status
        self.thread.join(30)
        assert not self.thread.is_alive()


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
    assert run.seen("file") == ["config.json", "transforms.json"]


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


def test_while_a_logger_fails_its_cursor_says_why(run: Any) -> None:
    (run.folder / "down").touch()
    run.append(3)
    live = _Live(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    run.wait_until(lambda: run.cursor(NAME)["status"] == "retrying")
    assert run.cursor(NAME)["id"] == -1
    assert "ConnectionError: no answer" in run.cursor(NAME)["error"]
    assert left(run.folder) == {NAME: 3}
    (run.folder / "down").unlink()
    live.end("completed")
    assert run.seen("record") == [0, 1, 2]
    assert left(run.folder) == {NAME: 0}


def test_a_failing_logger_that_is_told_to_stop_keeps_its_place(run: Any) -> None:
    (run.folder / "down").touch()
    run.append(3)
    live = _Live(run)
    run.wait_until(lambda: live.delivery.cursor.status == "retrying")
    live.stop.set()
    live.end("completed")
    assert run.seen("close") == []
    assert run.cursor(NAME)["id"] == -1


def test_a_stop_lets_go_of_the_run_without_ending_it(run: Any) -> None:
    run.append(3)
    live = _Live(run)
    run.wait_until(lambda: run.seen("record") == [0, 1, 2])
    live.stop.set()
    live.thread.join(30)
    assert run.seen("close") == ["running"]
    assert run.cursor(NAME)["id"] == 2


def test_records_written_during_a_delivery_arrive(run: Any) -> None:
    live = _Live(run)
    for count in range(1, 6):
        run.append(1)
        run.wait_until(lambda count=count: len(run.seen("record")) == count)
    run.append(3)
    live.end("interrupted")
    assert run.seen("record") == list(range(8))
    assert run.seen("close") == ["interrupted"]


def test_a_cut_during_a_delivery_starts_the_logger_again_before_it(run: Any) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    live = _Live(run)
    run.wait_until(lambda: len(run.seen("record")) == 7)
    cut(run.folder, offset, 3)
    run.wait_until(lambda: run.seen("start") == [-1, 2])
    run.journal = Journal(run.folder / JOURNAL)
    run.append(2, loss=5.0)
    live.end("completed")
    assert run.seen("record") == [0, 1, 2, 3, 4, 5, 6, 3, 4]
    assert run.seen("loss")[-2:] == ["5.0", "5.0"]
    assert run.cursor(NAME)["id"] == 4


def test_a_cursor_written_after_a_cut_by_one_who_missed_it_does_not_hide_it(
    run: Any, deliver: Callable[..., Any]
) -> None:
    run.append(3)
    offset = run.journal.offset
    run.append(4)
    deliver(run)
    stale = (run.folder / "courier" / f"{NAME}.json").read_bytes()
    cut(run.folder, offset, 3)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(9, loss=5.0)
    (run.folder / "courier" / f"{NAME}.json").write_bytes(stale)
    deliver(run)
    assert run.seen("record")[7:] == list(range(3, 12))
    assert run.seen("start") == [-1, 2]
    assert deliver(run).sent == 0


def test_files_are_delivered_and_again_when_they_have_changed(run: Any, deliver: Callable[..., Any]) -> None:
    (run.folder / "code" / "models").mkdir(parents=True)
    (run.folder / "code" / "models" / "net.py").write_text("depth = 18")
    run.write("environment.json", {})
    deliver(run)
    names = ["config.json", "transforms.json", "environment.json", "code/models/net.py"]
    assert run.seen("file") == names
    assert run.seen("content")[-1] == "depth = 18"
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
    assert list(left(run.folder).values()) == [1]


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
    assert left(run.folder) == {NAME: 0, "x": 0}
