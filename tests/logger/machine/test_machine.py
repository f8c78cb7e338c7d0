from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from assay.logger.machine import host as module
from assay.logger.machine.host import Machine


def sensors(monkeypatch: pytest.MonkeyPatch, readings: dict[str, list[SimpleNamespace]]) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: readings, raising=False)


def test_a_machine_tells_its_load_memory_disk_and_network(tmp_path: Path) -> None:
    facts = Machine(tmp_path).sample()
    assert {
        "cpu_percent",
        "cpu_percent_by_core",
        "load_1_minute",
        *(f"memory_{name}_bytes" for name in ("total", "available", "used", "free")),
        "memory_percent",
        *(f"swap_{name}_bytes" for name in ("total", "used", "free")),
        "swap_percent",
        *(f"disk_{name}_bytes" for name in ("total", "used", "free")),
        "disk_percent",
        "disk_read_bytes_per_second",
        "disk_written_bytes_per_second",
        "network_received_bytes_per_second",
        "network_sent_bytes_per_second",
    } <= facts.keys()
    assert len(facts["cpu_percent_by_core"]) == psutil.cpu_count()
    assert facts["memory_total_bytes"] == psutil.virtual_memory().total
    assert facts["disk_total_bytes"] == psutil.disk_usage(str(tmp_path)).total
    assert 0 <= facts["memory_percent"] <= 100


def test_the_load_is_the_share_of_the_time_since_the_last_sample_that_each_core_worked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(user: float, idle: float, iowait: float) -> Any:
        fields = {"user": user, "nice": 0.0, "system": 0.0, "idle": idle, "iowait": iowait}
        return psutil.cpu_times(percpu=True)[0]._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0) | fields)

    before, after = [times(10, 10, 0), times(0, 0, 0)], [times(13, 10, 1), times(0, 4, 0)]
    readings = iter([before, after])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu=False: next(readings))
    facts = Machine(tmp_path).sample()
    assert facts["cpu_percent_by_core"] == [75.0, 0.0]
    assert facts["cpu_percent"] == 37.5


def test_rates_are_differences_over_the_time_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([{"disk_read_bytes": 1000.0}, {"disk_read_bytes": 5000.0, "new": 1.0}])
    moments = iter([100.0, 102.0])
    monkeypatch.setattr(module, "_counts", lambda: next(counts))
    monkeypatch.setattr(module, "_temperatures", dict)
    machine = Machine(tmp_path)
    monkeypatch.setattr(machine, "_moment", next(moments))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments, 103.0))
    facts = machine.sample()
    assert facts["disk_read_bytes_per_second"] == 2000.0
    assert "new_per_second" not in facts


def test_what_the_machine_does_not_tell_is_left_out_whatever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise FileNotFoundError("/sys")

    names = ("virtual_memory", "swap_memory", "disk_io_counters", "net_io_counters", "getloadavg", "cpu_times")
    for name in (*names, "disk_usage"):
        monkeypatch.setattr(psutil, name, refuse)
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    machine = Machine(tmp_path)
    assert machine.sample() == {}
    assert machine.sample() == {}


def test_a_machine_without_a_disk_of_its_own_or_a_network_has_no_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda nowrap: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic, nowrap: {"lo": SimpleNamespace()})
    assert not [name for name in Machine(tmp_path).sample() if name.endswith("_per_second")]


def test_temperatures_are_named_by_chip_and_label_and_have_their_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = SimpleNamespace(label="Package", current=61.5, high=80.0, critical=100.0)
    bare = SimpleNamespace(label="", current=40.0, high=None, critical=None)
    disk = SimpleNamespace(label="Composite", current=35.0, high=None, critical=84.0)
    broken = SimpleNamespace(label="", current=None, high=None, critical=None)
    sensors(monkeypatch, {"coretemp": [package, bare], "nvme": [disk, disk], "acpi": [broken]})
    facts = Machine(tmp_path).sample()
    assert facts["temperatures_celsius"] == {
        "coretemp/Package": 61.5,
        "coretemp/1": 40.0,
        "nvme/Composite": 35.0,
        "nvme/Composite'": 35.0,
    }
    assert facts["temperature_limits_celsius"]["coretemp/Package"] == {"high": 80.0, "critical": 100.0}
    assert facts["temperature_limits_celsius"]["nvme/Composite"] == {"critical": 84.0}
    assert "coretemp/1" not in facts["temperature_limits_celsius"]
