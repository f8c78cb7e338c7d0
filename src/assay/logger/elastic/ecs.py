"""Records and samples as documents with the names of the Elastic Common Schema, of Metricbeat and of OpenTelemetry.

What these have no name for stands under `assay`.
Sources: https://www.elastic.co/docs/reference/ecs, https://www.elastic.co/docs/reference/beats/metricbeat,
https://opentelemetry.io/docs/specs/semconv/hardware (GPUs and sensors).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.logger.elastic.documents import Infrastructure, Parts, instant, numbers
from assay.store.journal import Record
from assay.store.samples import Sample

__all__ = ["Ecs"]


class Ecs(Infrastructure):
    """The layout "ecs": dots in names are objects; shares are from 0 to 1."""

    def record(self, record: Record) -> dict[str, Any]:
        """One document with all its numbers."""
        where = {"phase": record.phase, "epoch": record.epoch, "step": record.step, "samples": record.samples}
        fields = {f"assay.training.{key}": part for key, part in (where | numbers(record.values)).items()}
        return self._ecs(record.time, "assay.training", fields, {"record_id": record.id})

    def sample(self, sample: Sample) -> Parts:
        """For every thing that was measured (memory, a core, a GPU) its name and its document."""
        for name, dataset, fields in _fields(sample):
            told = {key: value for key, value in fields.items() if value is not None}
            if any(isinstance(value, int | float) for value in told.values()):
                yield name, self._ecs(sample.time, dataset, told, {"sample_id": sample.id})

    def _ecs(self, time: float, dataset: str, fields: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
        module, _, metricset = dataset.partition(".")
        run = self.run
        return _nested(
            {
                "@timestamp": instant(time),
                "ecs.version": "8.17.0",
                "event.kind": "metric",
                "event.module": module,
                "event.dataset": dataset,
                "metricset.name": metricset,
                "service.type": module,
                "host.name": run["hostname"],
                "host.hostname": run["hostname"],
                "labels.experiment": run["experiment"],
                "labels.project": run["project"],
                "labels.run": run["run_id"],
                "run_id": run["run_id"],
                "sent": run["sent"],
                **origin,
                **fields,
            }
        )


def _fields(sample: Sample) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, dataset and fields; None is what was not told."""
    machine, run = sample.machine, sample.run
    total, available = machine.get("memory_total_bytes"), machine.get("memory_available_bytes")
    taken = machine.get("memory_used_bytes")
    cores = machine.get("cpu_percent_by_core", [])
    cpu = {
        "host.cpu.usage": _share(machine.get("cpu_percent")),
        "system.cpu.total.norm.pct": _share(machine.get("cpu_percent")),
        "system.cpu.total.pct": _share(sum(cores)) if cores else None,
        "system.cpu.cores": len(cores) or None,
    }
    memory = {
        "system.memory.total": total,
        "system.memory.free": machine.get("memory_free_bytes"),
        "system.memory.used.bytes": taken,
        "system.memory.used.pct": taken / total if total and taken is not None else None,
        "system.memory.actual.free": available,
        "system.memory.actual.used.bytes": total - available if total and available is not None else None,
        "system.memory.actual.used.pct": _share(machine.get("memory_percent")),
        "system.memory.swap.total": machine.get("swap_total_bytes"),
        "system.memory.swap.free": machine.get("swap_free_bytes"),
        "system.memory.swap.used.bytes": machine.get("swap_used_bytes"),
        "system.memory.swap.used.pct": _share(machine.get("swap_percent")),
    }
    whole, used = machine.get("disk_total_bytes"), machine.get("disk_used_bytes")
    filesystem = {
        "system.filesystem.total": whole,
        "system.filesystem.free": whole - used if whole is not None and used is not None else None,
        "system.filesystem.available": machine.get("disk_free_bytes"),
        "system.filesystem.used.bytes": used,
        "system.filesystem.used.pct": _share(machine.get("disk_percent")),
    }
    disk = {
        "system.diskio.iostat.read.per_sec.bytes": machine.get("disk_read_bytes_per_second"),
        "system.diskio.iostat.write.per_sec.bytes": machine.get("disk_written_bytes_per_second"),
        "system.diskio.iostat.read.request.per_sec": machine.get("disk_reads_per_second"),
        "system.diskio.iostat.write.request.per_sec": machine.get("disk_writes_per_second"),
    }
    network = {
        "assay.network.in.bytes_per_second": machine.get("network_received_bytes_per_second"),
        "assay.network.out.bytes_per_second": machine.get("network_sent_bytes_per_second"),
    }
    held = [gpu["memory_used_bytes"] for gpu in run.get("gpus", {}).values()]
    process = {
        "system.process.cpu.total.pct": _share(run.get("cpu_percent")),
        "system.process.memory.rss.bytes": run.get("memory_rss_bytes"),
        "system.process.num_threads": run.get("threads"),
        "assay.process.count": run.get("processes"),
        "assay.process.gpu_memory_bytes": sum(held) if held else None,
    }
    timing = sample.training
    epoch = {f"assay.training.{key}": timing.get(key) for key in ("epoch", "step", "seconds", "samples")}
    if timing.get("seconds") and "samples" in timing:
        epoch["assay.training.samples_per_second"] = timing["samples"] / timing["seconds"]
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("cpu", "system.cpu", cpu),
        ("load", "system.load", {"system.load.1": machine.get("load_1_minute")}),
        ("memory", "system.memory", memory),
        ("filesystem", "system.filesystem", filesystem),
        ("disk", "system.diskio", disk),
        ("network", "assay.network", network),
        ("run", "system.process", process),
        ("epoch", "assay.epoch", epoch),
    ]
    for index, percent in enumerate(cores):
        fields = {"system.core.id": str(index), "system.core.total.pct": _share(percent)}
        found.append((f"core/{index}", "system.core", fields))
    found += [(f"gpu/{index}", "assay.gpu", _gpu(index, told)) for index, told in machine.get("gpus", {}).items()]
    for name, celsius in machine.get("temperatures_celsius", {}).items():
        limits = machine.get("temperature_limits_celsius", {}).get(name, {})
        fields = {"hw.type": "temperature", "hw.id": name, "hw.name": name, "hw.temperature": celsius}
        fields |= {f"assay.sensor.{key}": value for key, value in limits.items()}
        found.append((f"sensor/{name}", "assay.sensor", fields))
    return found


def _gpu(index: str, told: Mapping[str, Any]) -> dict[str, Any]:
    total, used = told.get("memory_total_bytes"), told.get("memory_used_bytes")
    return {
        "hw.type": "gpu",
        "hw.vendor": "NVIDIA",
        "hw.id": told.get("uuid", index),
        "hw.name": told.get("name"),
        "hw.serial_number": told.get("serial"),
        "hw.driver_version": told.get("driver"),
        "hw.gpu.utilization": _share(told.get("utilization_percent")),
        "hw.gpu.memory.limit": total,
        "hw.gpu.memory.usage": used,
        "hw.gpu.memory.utilization": used / total if total and used is not None else None,
        "hw.temperature": told.get("temperature_celsius"),
        "hw.power": told.get("power_watts"),
        "hw.energy": told.get("energy_joules"),
        "assay.gpu.power_limit": told.get("power_limit_watts"),
        "assay.gpu.clock": told.get("clock_mhz"),
        "assay.gpu.memory_clock": told.get("memory_clock_mhz"),
    }


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`{"host.name": "a"}` -> `{"host": {"name": "a"}}`."""
    document: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, leaf = path.split(".")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return document
