from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from assay.logger.courier.launch import start, wait
from assay.logger.machine.sampler import Sampler
from assay.store.samples import SYSTEM, read_samples


def test_a_sample_has_the_machine_and_the_run_in_stated_units(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, os.getppid())
    sum(number * number for number in range(200_000))
    sample = sampler.sample()
    assert {"cpu_percent", "memory_total_bytes", "disk_free_bytes"} <= sample["machine"].keys()
    assert {"cpu_percent", "processes", "threads", "memory_rss_bytes"} == sample["run"].keys()
    assert sample["run"]["memory_rss_bytes"] > 0


def test_gpus_are_part_of_the_machine_and_what_the_run_holds_of_them_part_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[int]] = []
    sampler = Sampler(tmp_path, os.getpid())
    monkeypatch.setattr(sampler.gpus, "machine", lambda: {"0": {"utilization_percent": 97}})
    monkeypatch.setattr(sampler.gpus, "run", lambda pids: asked.append(set(pids)) or {"0": {"memory_used_bytes": 5}})
    sample = sampler.sample()
    assert sample["machine"]["gpus"] == {"0": {"utilization_percent": 97}}
    assert sample["run"]["gpus"] == {"0": {"memory_used_bytes": 5}}
    assert os.getpid() in asked[0]


def test_lines_are_written_until_the_run_is_over_and_one_at_its_end(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, os.getpid())
    path = tmp_path / SYSTEM
    lines = lambda: path.read_text().splitlines() if path.exists() else []  # noqa: E731
    sampler.run(0.01, lambda: len(lines()) >= 3, Event())
    assert len(lines()) == 4
    for line in map(json.loads, lines()):
        assert list(line) == ["time", "machine", "run"]
        assert math.isfinite(line["run"]["cpu_percent"])
    over = iter([False])
    sampler.run(3600, lambda: next(over, True), Event())
    assert len(lines()) == 5


def test_a_run_that_is_over_before_the_first_measurement_is_measured_once(tmp_path: Path) -> None:
    Sampler(tmp_path, os.getpid()).run(3600, lambda: True, Event())
    assert len(read_samples(tmp_path / SYSTEM)) == 1


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
    samples = read_samples(run.folder / SYSTEM)
    assert len(samples) >= 2
    assert samples[0].run["processes"] == others + 1  # this process is the trainer, and the courier its child
    assert samples[0].run["memory_rss_bytes"] >= psutil.Process().memory_info().rss // 2
