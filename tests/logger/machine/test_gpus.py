"""NVML behind a stand-in: what matters is that whatever it refuses, the rest is told, and nothing is raised."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from assay.logger.machine import gpus as module
from assay.logger.machine.gpus import Gpus

real = importlib.import_module("pynvml")
NAMES: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlSystemGetDriverVersion": b"580.65",
    "nvmlDeviceGetCount": 2,
    "nvmlDeviceGetHandleByIndex": object(),
    "nvmlDeviceGetName": "NVIDIA A100",
    "nvmlDeviceGetUUID": "GPU-1",
    "nvmlDeviceGetSerial": "0324",
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=41),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 << 30, used=20 << 30, free=60 << 30),
    "nvmlDeviceGetTemperatureV": 61,
    "nvmlDeviceGetTemperature": 62,
    "nvmlDeviceGetPowerUsage": 250_500,
    "nvmlDeviceGetEnforcedPowerLimit": 400_000,
    "nvmlDeviceGetTotalEnergyConsumption": 123_456,
    "nvmlDeviceGetClockInfo": 1410,
    "nvmlDeviceGetComputeRunningProcesses": [
        SimpleNamespace(pid=10, usedGpuMemory=3 << 30),
        SimpleNamespace(pid=11, usedGpuMemory=None),
        SimpleNamespace(pid=12, usedGpuMemory=1 << 30),
        SimpleNamespace(pid=99, usedGpuMemory=9 << 30),
    ],
}


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: dict[str, Exception]) -> None:
    """A `pynvml` that answers, with functions and constants of the real one alone."""
    fake = ModuleType("pynvml")
    for name in ("NVML_TEMPERATURE_GPU", "NVML_CLOCK_SM", "NVML_CLOCK_MEM"):
        setattr(fake, name, getattr(real, name))
    for name, answer in NAMES.items():
        assert callable(getattr(real, name))

        def function(*arguments: Any, name: str = name, answer: Any = answer) -> Any:
            assert not any(isinstance(one, str) and one.startswith("NVML_") for one in arguments)
            if name in refused:
                raise refused[name]
            return answer

        setattr(fake, name, function)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(module, "_DEVICES", (str(tmp_path / "nvidia[0-9]*"),))


WHOLE = {
    "name": "NVIDIA A100",
    "uuid": "GPU-1",
    "serial": "0324",
    "driver": "580.65",
    "utilization_percent": 97,
    "memory_bandwidth_percent": 41,
    "memory_total_bytes": 80 << 30,
    "memory_used_bytes": 20 << 30,
    "memory_free_bytes": 60 << 30,
    "temperature_celsius": 61,
    "power_watts": 250.5,
    "power_limit_watts": 400.0,
    "energy_joules": 123.456,
    "clock_mhz": 1410,
    "memory_clock_mhz": 1410,
}


def test_a_gpu_tells_its_use_in_stated_units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, {})
    gpus = Gpus()
    assert gpus.machine() == {"0": WHOLE, "1": WHOLE}
    assert gpus.run({10, 11, 12}) == {"0": {"memory_used_bytes": 4 << 30}, "1": {"memory_used_bytes": 4 << 30}}
    assert gpus.run({11, 1}) == {}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("nvmlDeviceGet")])
@pytest.mark.parametrize(
    "error",
    [real.NVMLError_NotSupported(), real.NVMLError_GpuIsLost(), real.NVMLError_FunctionNotFound(), OSError("gone")],
    ids=lambda error: type(error).__name__,
)
def test_each_question_may_be_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    error: Exception,
) -> None:
    stand_in(monkeypatch, tmp_path, {name: error})
    gpus = Gpus()
    told = gpus.machine()
    gpus.run({10})
    if name in ("nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"):
        assert told == {}
    else:
        assert told.keys() == {"0", "1"}
        assert len(told["0"]) >= len(WHOLE) - 3
        assert all(
            told["0"][key] == value or key == "temperature_celsius" for key, value in WHOLE.items() if key in told["0"]
        )
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_a_gpu_of_which_nothing_is_told_is_still_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = ("nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlInit")
    stand_in(monkeypatch, tmp_path, {name: real.NVMLError_NotSupported() for name in NAMES if name not in told})
    assert Gpus().machine() == {"0": {"uuid": "GPU-1"}, "1": {"uuid": "GPU-1"}}
    assert Gpus().run({10}) == {}


def test_an_older_driver_tells_the_temperature_by_the_older_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, {"nvmlDeviceGetTemperatureV": real.NVMLError_FunctionNotFound()})
    assert Gpus().machine()["0"]["temperature_celsius"] == 62


def test_a_driver_that_does_not_answer_is_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in(monkeypatch, tmp_path, {"nvmlInit": real.NVMLError_LibRmVersionMismatch()})
    caplog.set_level("INFO")
    gpus = Gpus()
    assert gpus.machine() == gpus.machine() == {}
    assert caplog.text.count("the GPUs are not measured") == 1


def test_without_a_device_nothing_is_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_DEVICES", (str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import would raise
    assert Gpus().machine() == {}


def test_the_real_library_without_a_driver_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(module, "_DEVICES", (str(tmp_path / "nvidia[0-9]*"),))
    assert isinstance(Gpus().machine(), dict)
