"""A terminal that closes, and a pipe that nobody reads any more: the training is saved or goes on."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

MODEL = """
import pathlib, time, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, images):
        print("a layer prints")
        if self.training and not pathlib.Path("seen").exists():
            pathlib.Path("trains").touch()
            time.sleep(0.2)
        return self.layer(images.flatten(1))
"""


@pytest.fixture
def command(project: Path, tiny: Callable[..., dict[str, Any]]) -> list[str]:
    (project / "mine.py").write_text(MODEL)
    changes = {"model": "mine:Net", "data.loader.args.workers": 2, "trainer.args.epochs": 3}
    (project / "run.json").write_bytes(orjson.dumps(tiny(changes)))
    return [sys.executable, "-m", "assay", "train", "run.json", "--no-preflight"]


def started_in_a_terminal(command: list[str], before: Callable[[], None] = lambda: None) -> tuple[int, int]:
    """The process id, and the terminal's other end; it is the terminal's foreground process as of a shell."""
    process, terminal = pty.fork()
    if not process:
        before()
        os.execv(command[0], command)
    deadline = time.monotonic() + 60
    while not Path("trains").exists() and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.read(terminal, 1 << 16)
    assert Path("trains").exists()
    return process, terminal


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def the_run() -> tuple[dict[str, Any], Path]:
    (folder,) = Path("saved/tests").iterdir()
    return orjson.loads((folder / "status.json").read_bytes()), folder


@pytest.mark.slow
def test_a_terminal_that_closes_ends_the_run_saved(command: list[str]) -> None:
    process, terminal = started_in_a_terminal(command)
    os.close(terminal)  # the kernel sends SIGHUP to all processes of the terminal, and nothing can be printed any more
    for _ in range(3):  # the shell sends it as well
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGHUP)
        time.sleep(0.02)
    assert ended(process) == 129
    status, folder = the_run()
    assert status["state"] == "interrupted"
    assert f"signal 1 (SIGHUP) after step {status['step']}; everything is saved" in status["reason"]
    Path("seen").touch()
    done = subprocess.run([*command[:4], "--resume", str(folder), "--require-exact"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert the_run()[0]["state"] == "completed"


@pytest.mark.nightly
def test_under_nohup_a_terminal_that_closes_changes_nothing(command: list[str]) -> None:
    process, terminal = started_in_a_terminal(command, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None)
    Path("seen").touch()
    os.close(terminal)
    assert ended(process) == 0
    status, folder = the_run()
    assert (status["state"], status["epoch"]) == ("completed", 3)
    assert "the training goes on without it" in (folder / "run.log").read_text()
    assert "epoch   2" in (folder / "output.log").read_text()
    assert (folder / "output.log").read_text().rstrip().count("a layer prints") > 30


@pytest.mark.slow
def test_a_reader_of_the_output_that_leaves_does_not_end_the_training(command: list[str]) -> None:
    Path("seen").touch()
    line = " ".join(f"'{word}'" for word in command)
    script = f"set -o pipefail; {line} | head -1"
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("run saved")
    status, folder = the_run()
    assert status["state"] == "completed"
    assert "warning: stdout cannot be written any more (Broken pipe)" in (folder / "run.log").read_text()


@pytest.mark.nightly
def test_without_any_output_it_trains_and_no_file_takes_its_place(command: list[str]) -> None:
    Path("seen").touch()
    line = " ".join(f"'{word}'" for word in command)
    done = subprocess.run(["/bin/sh", "-c", f"{line} <&- >&- 2>&-"], check=False)
    assert done.returncode == 0
    assert the_run()[0]["state"] == "completed"
    assert "a layer prints" in (the_run()[1] / "output.log").read_text()
