"""SIGINT, SIGTERM and SIGUSR1 at named moments of the loop, once and twice, to a process and to its group.

Once: exit 130 or 143, not one step is lost, and the resumed run is the one that was not stopped. Twice: exit 128 + n at
once, and the last checkpoint is where it goes on.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

import tasks
from assay.errors import Interrupted
from assay.store.run_folder import RunFolder
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.default import DefaultTrainer
from killing import PHASES, _memory, _wrap, count_moments, in_child, launched, outcome, train

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
CONFIG = tasks.config()
# The checkpoint that a signal makes is one more.
OWN = ("checkpoints", "names")

Whole = tuple[Counter[str], dict[str, Any]]


@pytest.fixture(scope="module")
def whole() -> Whole:
    counts, expected = count_moments(CONFIG, allow=["tasks"])
    return counts, {key: value for key, value in expected.items() if key not in OWN}


def signalled(base: Path, phase: str, number: int, signals: tuple[int, ...]) -> None:
    """Train; get the signals when `phase` is reached for the `number`-th time (from 0)."""
    seen = iter(range(1 << 20))

    def reached() -> None:
        if next(seen) == number:
            for sent in signals:
                os.kill(os.getpid(), sent)

    _wrap(PHASES[phase], reached, None)
    try:
        train(CONFIG, base, allow=["tasks"])
    except Interrupted as error:
        os._exit(error.exit_code)


def stopped(base: Path, phase: str, number: int, signals: tuple[int, ...]) -> int:
    """The exit code of it."""
    return in_child(functools.partial(signalled, base, phase, number, signals), base / "child.log")


def goes_on(base: Path, run: Path, whole: Whole) -> None:
    code = in_child(functools.partial(train, CONFIG, base, run, allow=["tasks"]), base / "child.log")
    assert code == 0, (base / "child.log").read_text()[-3000:]
    found = outcome(base)
    assert [key for key, value in whole[1].items() if found[key] != value] == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_at_any_phase_of_the_loop_loses_no_step_and_changes_nothing(phase: str, whole: Whole) -> None:
    for position in range(6):
        number = round(position * (whole[0][phase] - 1) / 5)
        sent = SIGNALS[position % 3]
        with _memory() as base:
            code = stopped(base, phase, number, (sent,))
            assert code == (130 if sent == signal.SIGINT else 143), (base / "child.log").read_text()[-3000:]
            run = launched(base)
            assert run is not None
            folder = RunFolder(run)
            status = folder.read_status()
            assert status["state"] == "interrupted"
            steps = [record["step"] for record in map(orjson.loads, folder.journal.read_bytes().splitlines())]
            assert Checkpoints(folder.checkpoints).load("last").step == status["step"] == max(steps, default=0)
            assert "Traceback" not in (base / "child.log").read_text()
            goes_on(base, run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_two_signals_end_the_process_at_once_and_the_run_goes_on(phase: str, whole: Whole) -> None:
    sent = SIGNALS[len(phase) % 3]
    with _memory() as base:
        code = stopped(base, phase, whole[0][phase] // 2, (sent, sent))
        assert code == 128 + sent
        told = (base / "child.log").read_text()
        assert "stopped at once by a second signal; " in told
        assert "assay train --resume" in told
        run = launched(base)
        assert run is not None
        assert RunFolder(run).read_status()["state"] == "interrupted"
        goes_on(base, run, whole)


def long_step(base: Path) -> None:
    """Train, with an operation of torch in a step that takes seconds."""
    step = DefaultTrainer.train_step

    def long(self: DefaultTrainer, batch: Any) -> Any:
        if self.progress.step == 8:
            square = torch.rand(3000, 3000)
            (base / "in the operation").write_text(str(os.getpid()))
            torch.linalg.svd(square)
            (base / "after the operation").touch()
        return step(self, batch)

    DefaultTrainer.train_step = long  # type: ignore[method-assign]
    train(CONFIG, base, allow=["tasks"])


@pytest.mark.slow
def test_a_second_signal_ends_the_process_inside_an_operation_of_torch(whole: Whole) -> None:
    """Python's own handlers would wait for its end."""
    with _memory() as base, ThreadPoolExecutor(1) as threads:
        code = threads.submit(in_child, functools.partial(long_step, base), base / "child.log")
        place = base / "in the operation"
        pid = int(wait_for(lambda: place.exists() and place.read_text()))
        time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)
        assert code.result() == 143
        assert not (base / "after the operation").exists()
        assert "step-00000007 is the last checkpoint" in (base / "child.log").read_text()
        run_folder = launched(base)
        assert run_folder is not None
        goes_on(base, run_folder, whole)


def wait_for(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it never came")


PART = """
import pathlib, time, torch
import tasks

class Net(tasks.Net):
    def forward(self, images):
        if not self.training and pathlib.Path("slowly").exists():
            pathlib.Path("in the validation").touch()
            time.sleep(0.4)
        return super().forward(images)
"""


@pytest.mark.slow
def test_a_signal_to_the_whole_group_of_a_command_with_workers_saves(project: Path) -> None:
    """Ctrl-C of a terminal, or a scheduler that ends everything: the loader's workers get it too."""
    (project / "part.py").write_text(PART)
    config = tasks.config(model="part:Net", validation={"every": "4ba"})
    config["data"]["loader"]["args"]["workers"] = 2
    (project / "config.json").write_bytes(orjson.dumps(config))
    command = [sys.executable, "-c", "from assay.cli import main; main()", "train", "--allow", "tasks"]
    environment = {**os.environ, "PYTHONPATH": f"{Path(tasks.__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    run = functools.partial(subprocess.run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    done = run([*command, "-c", "config.json", "--no-preflight", "--set", "folder=whole"])
    assert done.returncode == 0, done.stderr
    expected = outcome(project / "whole")
    for sent in (signal.SIGINT, signal.SIGTERM):
        (project / "slowly").touch()
        process = subprocess.Popen(
            [*command, "-c", "config.json", "--no-preflight", "--set", f"folder=stopped{int(sent)}"],
            env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for((project / "in the validation").exists)
        os.killpg(process.pid, sent)
        _, told = process.communicate(timeout=60)
        assert process.returncode == (130 if sent == signal.SIGINT else 143), told
        assert "Traceback" not in told
        assert "in the validation after it; everything is saved" in told
        (project / "slowly").unlink()
        (project / "in the validation").unlink()
        stopped = launched(project / f"stopped{int(sent)}")
        done = run([*command, "--resume", str(stopped), "--require-exact"])
        assert done.returncode == 0, done.stderr
        found = outcome(project / f"stopped{int(sent)}")
        assert [key for key in expected if key not in OWN and found[key] != expected[key]] == []
