"""Records and samples as documents of Elasticsearch, in two layouts.

"elasticinfrastructure" is that of py-elasticinfrastructure (`experiment`, `hostname`, `measurement_type`,
`measurement`), one document for each record, and for each sample and type; "ecs" uses the names of the Elastic Common
Schema and of Metricbeat (https://www.elastic.co/docs/reference/ecs), where a core, a GPU or a sensor has a document of
its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from assay.store.journal import Record
from assay.store.samples import Sample

__all__ = ["Infrastructure", "day", "instant", "numbers", "spelled"]

Parts = Iterator[tuple[str, dict[str, Any]]]

_MIB = 1 << 20
# The chips whose sensors are the processor's, as Linux calls them.
_PROCESSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


def instant(time: float) -> str:
    """Seconds since 1970 as a date with its zone."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day(time: float) -> str:
    """`2026.11.26`, of UTC: the ending of the index."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y.%m.%d")


def spelled(value: float) -> dict[str, Any]:
    """A number as `value`; one that JSON has not as `text`, "NaN", "Infinity" or "-Infinity"."""
    if math.isfinite(value):
        return {"value": value}
    return {"text": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def numbers(values: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """`values` by name, and as words in `not_finite` what JSON has no number for.

    A dot in a name, which would make an object of the part before it, is "%2E" here.
    """
    found: dict[str, dict[str, Any]] = {"values": {}, "not_finite": {}}
    for name, value in values.items():
        field = name.replace(".", "%2E")
        if math.isfinite(value):
            found["values"][field] = value
        else:
            found["not_finite"][field] = spelled(value)["text"]
    return {kind: fields for kind, fields in found.items() if fields}


class Infrastructure:
    """The layout of py-elasticinfrastructure.

    Args:
        run: what every document says of its run.
    """

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = dict(run)

    def record(self, record: Record) -> dict[str, Any]:
        """One document with all its numbers."""
        where = {"phase": record.phase, "epoch": record.epoch, "step": record.step, "samples": record.samples}
        return self._document(record.time, "training", where | numbers(record.values), {"record_id": record.id})

    def sample(self, sample: Sample) -> Parts:
        """For every type its name and its document; none for what the machine did not tell."""
        for type_, measurement in self._measurements(sample):
            if measurement:
                yield type_, self._document(sample.time, type_, measurement, {"sample_id": sample.id})

    def _document(self, time: float, type_: str, measurement: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
        moment = instant(time)
        head = {"@timestamp": moment, "timestamp": moment, **self.run, "measurement_type": type_, **origin}
        return {**head, "measurement": measurement}

    def _measurements(self, sample: Sample) -> Parts:
        machine = sample.machine
        yield "cpu", _cpu(machine)
        yield "temperature", {"sensors": other} if (other := _sensors(machine, of_processor=False)) else {}
        memory = {
            "virtual_memory": _picked(machine, "memory_", ("total", "available", "percent", "used", "free")),
            "swap_memory": _picked(machine, "swap_", ("total", "used", "free", "percent")),
        }
        yield "memory", {name: values for name, values in memory.items() if values}
        rates = ("read_bytes_per_second", "written_bytes_per_second", "reads_per_second", "writes_per_second")
        yield "disk", _picked(machine, "disk_", ("total", "used", "free", "percent", *rates))
        yield "network", _picked(machine, "network_", ("received_bytes_per_second", "sent_bytes_per_second"))
        yield "gpu", _gpus(machine.get("gpus", {}))
        run = {name: value for name, value in sample.run.items() if name != "gpus"}
        yield "run", run | _gpu_memory(sample)
        yield "epoch", _timing(sample)


def _cpu(machine: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "cpu_percent" in machine:
        facts["cpu_load_average"] = machine["cpu_percent"]
    if "cpu_percent_by_core" in machine:
        facts["cpu_load_threads"] = machine["cpu_percent_by_core"]
    facts |= _picked(machine, "", ("load_1_minute",))
    if sensors := _sensors(machine, of_processor=True):
        labels: dict[str, list[float]] = {}
        for sensor in sensors:
            # A dot would make an object of the part before it.
            labels.setdefault(re.sub(r"\.+", "_", sensor["label"]).strip() or "_", []).append(sensor["current"])
        facts["cpu_temperatures"] = sensors
        facts["cpu_temperature_average"] = {label: sum(all_) / len(all_) for label, all_ in labels.items()}
    return facts


def _sensors(machine: Mapping[str, Any], *, of_processor: bool) -> list[dict[str, Any]]:
    """Those of the processor by their label, the others by "chip/label"."""
    found = []
    limits = machine.get("temperature_limits_celsius", {})
    for name, current in machine.get("temperatures_celsius", {}).items():
        chip, _, label = name.partition("/")
        if (chip in _PROCESSORS) == of_processor:
            found.append({"label": label if of_processor else name, "current": current, **limits.get(name, {})})
    return found


def _gpus(gpus: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sizes in MiB and shares from 0 to 1, as GPUtil has them; power in watts, energy in joules, clocks in MHz."""
    if not gpus:
        return {}
    data = [_gpu(index, told) for index, told in gpus.items()]
    averages = {}
    for name in ("load", "memoryUsed", "memoryFree", "temperature", "power"):
        if known := [gpu[name] for gpu in data if name in gpu]:
            averages[name] = sum(known) / len(known)
    return {"gpus_data": data} | ({"gpus_averages": averages} if averages else {})


def _gpu(index: str, told: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "load": ("utilization_percent", 100),
        "memoryBandwidth": ("memory_bandwidth_percent", 100),
        "memoryTotal": ("memory_total_bytes", _MIB),
        "memoryUsed": ("memory_used_bytes", _MIB),
        "memoryFree": ("memory_free_bytes", _MIB),
        "temperature": ("temperature_celsius", 1),
        "power": ("power_watts", 1),
        "powerLimit": ("power_limit_watts", 1),
        "energy": ("energy_joules", 1),
        "clock": ("clock_mhz", 1),
        "memoryClock": ("memory_clock_mhz", 1),
    }
    gpu: dict[str, Any] = {"id": int(index), **_picked(told, "", ("uuid", "name", "serial", "driver"))}
    gpu |= {name: told[key] / unit for name, (key, unit) in names.items() if key in told}
    if told.get("memory_total_bytes") and "memory_used_bytes" in told:
        gpu["memoryUtil"] = told["memory_used_bytes"] / told["memory_total_bytes"]
    return gpu


def _gpu_memory(sample: Sample) -> dict[str, Any]:
    sizes = [told["memory_used_bytes"] for told in sample.run.get("gpus", {}).values()]
    return {"gpu_memory_bytes": sum(sizes)} if sizes else {}


def _timing(sample: Sample) -> dict[str, Any]:
    timing = dict(sample.training)
    if timing.get("seconds") and "samples" in timing:
        timing["samples_per_second"] = timing["samples"] / timing["seconds"]
    return timing


def _picked(values: Mapping[str, Any], prefix: str, names: Iterable[str]) -> dict[str, Any]:
    """Sizes have "_bytes" at their end there and not here."""
    found = {}
    for name in names:
        for key in (f"{prefix}{name}", f"{prefix}{name}_bytes"):
            if key in values:
                found[name] = values[key]
    return found
