"""The types of all fields that ElasticLogger writes, as index templates: nothing is guessed, nothing grows by itself.

Measurements of the training have indices of their own: their numbers are fields by the name of the metric, which come
from without, and a server looks for every field of a mapping in every document.

Other fields that no template names are kept and not indexed (`dynamic: false`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["METRICS", "RUNS", "TRAINING", "VERSION", "template"]

VERSION = 4
"""Goes up with every change of a type: a template of an older version in the cluster is replaced."""

WORD = {"type": "keyword", "ignore_above": 1024}
# Boards that were made over guessed types ask for the field `keyword` below.
OLD_WORD = {**WORD, "fields": {"keyword": WORD}}
DATE = {"type": "date"}
COUNT = {"type": "long"}
NUMBER = {"type": "double"}
REAL = {"type": "float"}
PERCENT = {"type": "scaled_float", "scaling_factor": 100}
SHARE = {"type": "scaled_float", "scaling_factor": 10_000}
# Every leaf a keyword, without a field for each: configurations have as many keys as they like.
WORDS = {"type": "flattened"}
TREE = {"type": "flattened", "ignore_above": 8000, "depth_limit": 100}


def _numbers(place: str) -> dict[str, dict[str, Any]]:
    """Those of every training, and whatever else its metrics are named."""
    known = {f"{place}.values.{name}": NUMBER for name in ("loss", "accuracy", "learning_rate")}
    return {f"{place}.values": {"type": "object", "dynamic": True}, **known, f"{place}.not_finite": WORDS}


def _fields(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """`{"host.name": WORD}` -> nested properties."""
    properties: dict[str, Any] = {}
    for path, type_ in mapping.items():
        *parents, leaf = path.split(".")
        place = properties
        for parent in parents:
            place = place.setdefault(parent, {}).setdefault("properties", {})
        place[leaf] = dict(type_)
    return properties


_IDS = {"@timestamp": DATE, "sent": DATE, "run_id": WORD, "record_id": COUNT, "sample_id": COUNT}

_RUN = {"@timestamp": DATE, "run_id": WORD, "project": WORD, "name": WORD, "experiment": OLD_WORD, "hostname": OLD_WORD}

_INFRASTRUCTURE_TRAINING = {
    **_IDS,
    **_RUN,
    "timestamp": DATE,
    "measurement_type": OLD_WORD,
    "measurement.phase": WORD,
    **{f"measurement.{name}": COUNT for name in ("epoch", "step", "samples")},
    **_numbers("measurement"),
}

_INFRASTRUCTURE = {
    **_IDS,
    **_RUN,
    "timestamp": DATE,
    "measurement_type": OLD_WORD,
    **{f"measurement.{name}": COUNT for name in ("epoch", "step", "samples", "processes", "threads")},
    **{f"measurement.{name}": NUMBER for name in ("seconds", "samples_per_second")},
    **{f"measurement.{name}": PERCENT for name in ("cpu_load_average", "cpu_load_threads", "cpu_percent", "percent")},
    "measurement.load_1_minute": REAL,
    "measurement.cpu_temperatures.label": OLD_WORD,
    **{f"measurement.cpu_temperatures.{name}": REAL for name in ("current", "high", "critical")},
    "measurement.cpu_temperature_average": {"type": "object", "dynamic": True},
    "measurement.sensors.label": WORD,
    **{f"measurement.sensors.{name}": REAL for name in ("current", "high", "critical")},
    **{f"measurement.virtual_memory.{name}": COUNT for name in ("total", "available", "used", "free")},
    **{f"measurement.swap_memory.{name}": COUNT for name in ("total", "used", "free")},
    "measurement.virtual_memory.percent": PERCENT,
    "measurement.swap_memory.percent": PERCENT,
    **{f"measurement.{name}": COUNT for name in ("total", "used", "free", "memory_rss_bytes", "gpu_memory_bytes")},
    **{f"measurement.{name}_bytes_per_second": REAL for name in ("read", "written", "received", "sent")},
    **{f"measurement.{name}_per_second": REAL for name in ("reads", "writes")},
    "measurement.gpus_data.id": COUNT,
    **{f"measurement.gpus_data.{name}": OLD_WORD for name in ("uuid", "name", "serial", "driver")},
    **{f"measurement.gpus_data.{name}": SHARE for name in ("load", "memoryUtil", "memoryBandwidth")},
    **{f"measurement.gpus_data.{name}": REAL for name in ("memoryTotal", "memoryUsed", "memoryFree", "temperature")},
    **{f"measurement.gpus_data.{name}": REAL for name in ("power", "powerLimit", "clock", "memoryClock")},
    "measurement.gpus_data.energy": NUMBER,
    "measurement.gpus_averages.load": SHARE,
    **{f"measurement.gpus_averages.{name}": REAL for name in ("memoryUsed", "memoryFree", "temperature", "power")},
}

_ECS_COMMON = {
    **_IDS,
    **dict.fromkeys(("ecs.version", "host.name", "host.hostname", "event.module", "event.dataset"), WORD),
    **dict.fromkeys(("event.kind", "metricset.name", "service.type"), WORD),
    **{f"labels.{name}": WORD for name in ("experiment", "project", "run")},
}

_ECS_TRAINING = {
    **_ECS_COMMON,
    "assay.training.phase": WORD,
    **{f"assay.training.{name}": COUNT for name in ("epoch", "step", "samples")},
    **_numbers("assay.training"),
}

_ECS = {
    **_ECS_COMMON,
    "host.cpu.usage": SHARE,
    "system.cpu.cores": COUNT,
    **{f"system.{name}": SHARE for name in ("cpu.total.pct", "cpu.total.norm.pct", "core.total.pct")},
    "system.load.1": REAL,
    "system.core.id": WORD,
    **{f"system.memory.{name}": COUNT for name in ("total", "free", "used.bytes", "actual.free", "actual.used.bytes")},
    **{f"system.memory.swap.{name}": COUNT for name in ("total", "free", "used.bytes")},
    **{f"system.memory.{name}": SHARE for name in ("used.pct", "actual.used.pct", "swap.used.pct")},
    **{f"system.filesystem.{name}": COUNT for name in ("total", "free", "available", "used.bytes")},
    "system.filesystem.used.pct": SHARE,
    **{f"system.diskio.iostat.{way}.per_sec.bytes": REAL for way in ("read", "write")},
    **{f"system.diskio.iostat.{way}.request.per_sec": REAL for way in ("read", "write")},
    "system.process.cpu.total.pct": SHARE,
    "system.process.memory.rss.bytes": COUNT,
    "system.process.num_threads": COUNT,
    # What Elastic's schemas have no name for: GPUs and sensors as OpenTelemetry calls them, the rest under our name.
    **{f"hw.{name}": WORD for name in ("id", "name", "type", "vendor", "serial_number", "driver_version")},
    **{f"hw.{name}": REAL for name in ("temperature", "power")},
    "hw.energy": NUMBER,
    "hw.gpu.utilization": SHARE,
    "hw.gpu.memory.utilization": SHARE,
    **{f"hw.gpu.memory.{name}": COUNT for name in ("limit", "usage")},
    **{f"assay.network.{way}.bytes_per_second": REAL for way in ("in", "out")},
    **{f"assay.sensor.{name}": REAL for name in ("high", "critical")},
    **{f"assay.gpu.{name}": REAL for name in ("power_limit", "clock", "memory_clock")},
    **{f"assay.process.{name}": COUNT for name in ("count", "gpu_memory_bytes")},
    **{f"assay.training.{name}": COUNT for name in ("epoch", "step", "samples")},
    **{f"assay.training.{name}": NUMBER for name in ("seconds", "samples_per_second")},
}

_OF_RUNS = {
    **_RUN,
    **dict.fromkeys(("status", "reason", "monitor", "path", "sha256"), WORD),
    **dict.fromkeys(("heartbeat", "updated"), DATE),
    **dict.fromkeys(("epoch", "epochs", "step", "bytes", "best.epoch", "best.step"), COUNT),
    **dict.fromkeys(("seconds", "best.value", "results.best", "results.last"), NUMBER),
    **{f"results.{name}": WORD for name in ("name", "unit", "better")},
    **dict.fromkeys(("config", "transforms", "environment"), TREE),
    "truncated": {"type": "boolean"},
    "content": {"type": "text"},
}

METRICS: dict[str, dict[str, Any]] = {
    "elasticinfrastructure": {
        "dynamic": False,
        # The one object with keys that are not known before: a machine's sensors, a few dozen at most.
        "dynamic_templates": [{"sensors": {"path_match": "measurement.cpu_temperature_average.*", "mapping": REAL}}],
        "properties": _fields(_INFRASTRUCTURE),
    },
    "ecs": {"dynamic": False, "properties": _fields(_ECS)},
}
"""By layout: each has its own indices, so that none has types that it does not need."""

TRAINING: dict[str, dict[str, Any]] = {
    layout: {
        "dynamic": False,
        # Without this a first value of 1 would make the field one of whole numbers.
        "dynamic_templates": [{"values": {"path_match": f"{place}.values.*", "mapping": NUMBER}}],
        "properties": _fields(fields),
    }
    for layout, place, fields in (
        ("elasticinfrastructure", "measurement", _INFRASTRUCTURE_TRAINING),
        ("ecs", "assay.training", _ECS_TRAINING),
    )
}
"""By layout, of the indices of the records; fields that METRICS has as well have the same types there."""

RUNS: dict[str, Any] = {"dynamic": False, "properties": _fields(_OF_RUNS)}


def template(patterns: list[str], mappings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `indices.put_index_template` but its name; the longer pattern comes before the shorter."""
    # As many metrics as somebody has: those above the limit are kept, and no document is refused.
    fields = {"limit": 5000, "ignore_dynamic_beyond_limit": True}
    settings = {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "mapping": {"total_fields": fields}}}
    return {
        "index_patterns": patterns,
        "priority": 200 + len(patterns[0]),
        "template": {"settings": settings, "mappings": dict(mappings)},
        "version": VERSION,
    }
