from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from assay.logger.machine import processes as module
from assay.logger.machine.processes import Processes

CHILD = "import time; print('on', flush=True); time.sleep(60)"
# A trainer that makes its worker from a thread of its own, then says so.
TRAINER = f"""
import subprocess, sys, threading
def work():
    worker = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
    worker.stdout.readline()
    print("on", flush=True)
    worker.wait()
threading.Thread(target=work, name="a) thread (").start()
import time; time.sleep(60)
"""


@contextmanager
def trainer(code: str = TRAINER) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        try:
            yield process
        finally:
            for member in family:
                if member.is_running():
                    member.kill()


def test_the_run_is_the_trainer_with_its_children_until_it_is_gone() -> None:
    with trainer() as process:
        processes = Processes(process.pid)
        sample = processes.sample()
        assert sample["processes"] == 2
        assert sample["threads"] == 3
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        resident = sum(member.memory_info().rss for member in family)
        # The kernel counts pages for each processor apart, and adds them up when it likes to.
        assert sample["memory_rss_bytes"] == pytest.approx(resident, rel=0.2)
        assert processes.pids == {member.pid for member in family}
        process.kill()
        process.wait()
        assert processes.sample() == {}
        assert Processes(process.pid).sample() == {}


def test_this_process_and_its_children_are_not_the_run() -> None:
    def counted() -> tuple[int, int]:
        sample = Processes(os.getppid()).sample()
        everyone = {process.pid for process in psutil.Process(os.getppid()).children(recursive=True)}
        ours = {os.getpid(), *(process.pid for process in psutil.Process().children(recursive=True))}
        return sample["processes"], 1 + len(everyone - ours)

    with trainer():
        # Other tests beside this one start processes and end them.
        assert any(found == expected for found, expected in (counted() for _ in range(50)))


def test_where_the_kernel_lists_no_children_all_processes_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._read
    monkeypatch.setattr(module, "_read", lambda path: None if path.endswith("/children") else read(path))
    with trainer() as process:
        assert Processes(process.pid).sample()["processes"] == 2


def test_cpu_of_the_run_is_in_percent_of_one_core_with_children_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stat(seconds: float) -> module._Stat:
        return module._Stat(1, seconds, threads=1, started=7, rss=1)

    processes = Processes(os.getpid())
    # A child with 5 s ended after 0.5 s more: they are the trainer's now, which worked for 1.5 s itself.
    stats = iter([{1: stat(10.0), 2: stat(5.0)}, {1: stat(10.0 + 5.5 + 1.5)}, {1: stat(3.0)}])
    monkeypatch.setattr(processes, "_stats", lambda: next(stats))
    moments = iter([100.0, 102.0, 103.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    processes.sample()
    assert processes.sample()["cpu_percent"] == 100.0
    assert processes.sample()["cpu_percent"] == 0.0


def test_another_process_with_the_number_of_the_trainer_is_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(os.getpid())
    assert processes.sample()
    read = module._stat
    monkeypatch.setattr(module, "_stat", lambda pid: read(pid)._replace(started=1))
    assert processes.sample() == {}


def test_without_a_trainer_there_is_nothing_to_measure() -> None:
    assert Processes(None).sample() == {}
    assert Processes(2**22 + 1).sample() == {}
