"""Errors of several processes of one launch: told once, and in the launcher's summary."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.cli.launched import to_tell
from assay.experiment import relaunch

ERROR = "the loss is nan at step 3\n  try:      lower the learning rate"


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two processes of a launcher whose store is here; the file that it reads a reason from."""
    from torch._C._distributed_c10d import TCPStore

    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    given = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    given |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_ERROR_FILE": str(tmp_path / "error.json")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path / "error.json"
    signal.signal(signal.SIGTERM, before)
    del store


def reason(file: Path) -> tuple[str, int]:
    told = json.loads(file.read_text())["message"]["extraInfo"]
    return told["py_callstack"], int(told["timestamp"])


def test_the_first_process_tells_and_the_others_point_to_it(launched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert to_tell(ERROR) == ERROR
    text, first = reason(launched)
    assert text == ERROR
    monkeypatch.setenv("RANK", "1")
    assert to_tell(ERROR) == ""
    text, second = reason(launched)
    assert text == "see rank 0"
    assert second > first  # or the launcher would take it for the cause


def test_where_the_first_process_cannot_tell_another_does_and_says_which(
    launched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaunch, "_PATIENCE", 0.1)
    monkeypatch.setenv("RANK", "1")
    assert to_tell(ERROR) == f"rank 1 of 2: {ERROR}"
    assert reason(launched)[0] == f"rank 1 of 2: {ERROR}"
    monkeypatch.setenv("RANK", "0")
    assert to_tell(ERROR) == ""


def test_a_process_that_fails_before_the_first_one_lets_it_tell(
    launched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    store = relaunch._store()
    later = threading.Timer(0.3, lambda: store.compare_set("assay/told/0", "", "0"))
    later.start()
    assert to_tell(ERROR) == ""
    later.join()


def test_every_attempt_of_a_launch_tells_its_own_error(launched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    for attempt in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        assert to_tell(ERROR) == ERROR


def test_a_process_that_tells_is_not_ended_by_the_launcher_before_it_has(
    launched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    to_tell(ERROR)
    signal.raise_signal(signal.SIGTERM)


def test_processes_of_a_launcher_that_keeps_no_store_all_tell(launched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE")
    monkeypatch.setenv("RANK", "1")
    assert to_tell(ERROR) == f"rank 1 of 2: {ERROR}"


def test_without_a_launcher_an_error_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert to_tell(ERROR) == ERROR
