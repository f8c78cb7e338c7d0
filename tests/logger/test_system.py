from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from assay.logger import system as module
from assay.logger.launch import start, wait
from assay.logger.system import Sampler
from assay.store.samples import SYSTEM


def test_a_sample_has_the_machine_and_the_run_in_stated_units(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, os.getppid())
    sum(number * number for number in range(200_000))
    sample = sampler.sample()
    machine = sample["machine"]
    assert {
        "cpu_percent",
        "cpu_percent_by_core",
        "memory_total_bytes",
        "memory_available_bytes",
        "memory_percent",
        "disk_free_bytes",
        "network_received_bytes_per_second",
        "network_sent_bytes_per_second",
    } <= machine.keys()
    assert len(machine["cpu_percent_by_core"]) == psutil.cpu_count()
    assert machine["memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 <= machine["memory_percent"] <= 100
    assert {"cpu_percent", "processes", "memory_rss_bytes"} == sample["run"].keys()
    assert sample["run"]["memory_rss_bytes"] > 0


def test_the_run_is_the_trainer_with_its_children_and_without_the_courier(tmp_path: Path) -> None:
    child, python = "import time; time.sleep(60)", "subprocess.Popen([sys.executable, '-c'"
    parent = f"import subprocess, sys; {python}, {child!r}]); print('on', flush=True)"
    code = f"{parent}; {child}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as trainer:
        assert trainer.stdout is not None
        trainer.stdout.readline()
        children = psutil.Process(trainer.pid).children()
        assert Sampler(tmp_path, trainer.pid).sample()["run"]["processes"] == 2
        trainer.kill()
        trainer.wait()
        assert Sampler(tmp_path, trainer.pid).sample()["run"] == {}
        for process in children:
            process.kill()
    alone = len(psutil.Process().children(recursive=True)) + 1
    assert Sampler(tmp_path, os.getpid()).sample()["run"]["processes"] == alone


def test_cpu_of_the_run_is_in_percent_of_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([{1: 10.0, 2: 5.0}, {1: 11.5, 3: 0.5}])
    moments = iter([100.0, 102.0])
    monkeypatch.setattr(Sampler, "_cpu_seconds", lambda self: next(seconds))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(module, "_counters", lambda: {"disk_read_bytes": 4096 if seconds else 0})
    sample = Sampler(tmp_path, os.getpid()).sample()
    assert sample["run"]["cpu_percent"] == pytest.approx(100 * (1.5 + 0.5) / 2)
    assert sample["machine"]["disk_read_bytes_per_second"] == 0.0


def test_rates_are_differences_over_the_time_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = iter([{"disk_read_bytes": 1000.0}, {"disk_read_bytes": 5000.0, "new": 1.0}])
    moments = iter([100.0, 102.0])
    monkeypatch.setattr(module, "_counters", lambda: next(counters))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    machine = Sampler(tmp_path, None).sample()["machine"]
    assert machine["disk_read_bytes_per_second"] == 2000.0
    assert "new_per_second" not in machine


def test_a_machine_without_sensors_gives_fewer_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise FileNotFoundError("/sys")

    for name in ("swap_memory", "disk_io_counters", "net_io_counters", "getloadavg"):
        monkeypatch.setattr(psutil, name, refuse)
    monkeypatch.delattr(psutil, "sensors_temperatures")
    machine = Sampler(tmp_path, None).sample()["machine"]
    assert set(machine) == {
        "cpu_percent",
        "cpu_percent_by_core",
        "memory_total_bytes",
        "memory_available_bytes",
        "memory_percent",
        "disk_free_bytes",
    }


def test_temperatures_are_named_by_chip_and_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [SimpleNamespace(label="Package", current=61.5), SimpleNamespace(label="", current=40.0)]
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"coretemp": entries}, raising=False)
    machine = Sampler(tmp_path, None).sample()["machine"]
    assert machine["temperatures_celsius"] == {"coretemp/Package": 61.5, "coretemp/1": 40.0}


def test_lines_are_written_until_the_run_is_over_and_one_at_its_end(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, os.getpid())
    path = tmp_path / SYSTEM
    lines = lambda: path.read_text().splitlines() if path.exists() else []  # noqa: E731
    sampler.run(0.01, lambda: len(lines()) >= 3, Event())
    assert len(lines()) == 3
    for line in map(json.loads, lines()):
        assert list(line) == ["time", "machine", "run"]
        assert math.isfinite(line["run"]["cpu_percent"])
    over = iter([False])
    sampler.run(3600, lambda: next(over, True), Event())
    assert len(lines()) == 4


def test_a_full_disk_is_said_once_and_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def full(self: Sampler) -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Sampler, "write", full)
    Sampler(tmp_path, None).run(0.001, lambda: len(calls) >= 3, Event())
    assert caplog.text.count("No space left on device") == 1


def test_the_courier_measures_the_run_when_it_is_asked_to(make_run: Callable[..., Any]) -> None:
    run = make_run()
    run.hold()
    others = len(psutil.Process().children(recursive=True))
    courier = start(run.folder, run.allowed, system=0.2)
    try:
        run.wait_until(lambda: (run.folder / SYSTEM).exists())
        run.status("completed")
        wait(courier, run.folder, 60)
        assert courier.returncode == 0
    finally:
        courier.kill()
        courier.wait()
    lines = [json.loads(line) for line in (run.folder / SYSTEM).read_text().splitlines()]
    assert len(lines) >= 2
    assert lines[0]["run"]["processes"] == others + 1  # this process is the trainer, and the courier its child
    assert lines[0]["run"]["memory_rss_bytes"] >= psutil.Process().memory_info().rss // 2
