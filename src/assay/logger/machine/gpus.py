"""What the GPUs use, by NVIDIA's management library (NVML).

Its calls: https://docs.nvidia.com/deploy/nvml-api/. Every question may be refused: virtual and split GPUs do not tell
power, a GPU may have fallen off its bus.

"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from glob import glob
from typing import Any

__all__ = ["Gpus"]

_log = logging.getLogger(__name__)

_DEVICES = ("/dev/nvidia[0-9]*", "/dev/dxg")


class Gpus:
    """The GPUs of this machine; none where there is no driver."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[tuple[str, Any]] = []
        self._names: dict[str, dict[str, Any]] = {}
        if not any(map(glob, _DEVICES)):
            return
        try:
            import pynvml

            self._nvml = pynvml
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except Exception as error:  # ctypes and the driver raise much, and none of it may reach a run
            _log.info("the GPUs are not measured: %s: %s", type(error).__name__, error)
            return
        driver = self._ask("nvmlSystemGetDriverVersion")
        for index in range(count):
            handle = self._ask("nvmlDeviceGetHandleByIndex", index)
            if handle is not None:
                self._handles.append((str(index), handle))
                told = {
                    "name": self._ask("nvmlDeviceGetName", handle),
                    "uuid": self._ask("nvmlDeviceGetUUID", handle),
                    "serial": self._ask("nvmlDeviceGetSerial", handle),
                    "driver": driver,
                }
                self._names[str(index)] = {key: _text(value) for key, value in told.items() if value is not None}

    def machine(self) -> dict[str, dict[str, Any]]:
        """By index as text: name, uuid, use, memory, temperature, power, energy since the driver was loaded, clocks."""
        return {index: self._names[index] | self._use(handle) for index, handle in self._handles}

    def run(self, pids: Collection[int]) -> dict[str, dict[str, Any]]:
        """By index as text: what these processes hold of each GPU's memory; empty where NVML does not know them.

        In a container it may know them under other numbers.
        """
        found = {}
        for index, handle in self._handles:
            processes = self._ask("nvmlDeviceGetComputeRunningProcesses", handle) or ()
            sizes = [process.usedGpuMemory for process in processes if process.pid in pids]
            if known := [size for size in sizes if size is not None]:
                found[index] = {"memory_used_bytes": sum(known)}
        return found

    def _use(self, handle: Any) -> dict[str, Any]:
        use, memory = self._ask("nvmlDeviceGetUtilizationRates", handle), self._ask("nvmlDeviceGetMemoryInfo", handle)
        facts: dict[str, Any] = {}
        if use is not None:
            facts |= {"utilization_percent": use.gpu, "memory_bandwidth_percent": use.memory}
        if memory is not None:
            facts |= {
                "memory_total_bytes": memory.total,
                "memory_used_bytes": memory.used,
                "memory_free_bytes": memory.free,
            }
        told = {
            "temperature_celsius": self._temperature(handle),
            "power_watts": _scaled(self._ask("nvmlDeviceGetPowerUsage", handle)),
            "power_limit_watts": _scaled(self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
            "energy_joules": _scaled(self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)),
            "clock_mhz": self._ask("nvmlDeviceGetClockInfo", handle, "NVML_CLOCK_SM"),
            "memory_clock_mhz": self._ask("nvmlDeviceGetClockInfo", handle, "NVML_CLOCK_MEM"),
        }
        return facts | {name: value for name, value in told.items() if value is not None}

    def _temperature(self, handle: Any) -> Any:
        """By the newer call where the driver has it: the older one goes with CUDA 14."""
        newer = self._ask("nvmlDeviceGetTemperatureV", handle, "NVML_TEMPERATURE_GPU")
        return newer if newer is not None else self._ask("nvmlDeviceGetTemperature", handle, "NVML_TEMPERATURE_GPU")

    def _ask(self, name: str, *arguments: Any) -> Any:
        """None where it is not told; an argument that names a constant of NVML stands for it."""
        try:
            function: Callable[..., Any] = getattr(self._nvml, name)
            return function(*(getattr(self._nvml, one) if isinstance(one, str) else one for one in arguments))
        except Exception:  # NVMLError, and what a binding raises that does not fit the driver
            return None


def _scaled(thousandths: int | None) -> float | None:
    """Milliwatts as watts, millijoules as joules."""
    return None if thousandths is None else thousandths / 1000


def _text(value: Any) -> str:
    """Older bindings give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
