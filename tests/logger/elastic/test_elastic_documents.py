"""Both layouts, held against the template: what a document says has a type, and the type is the right one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from assay.logger.elastic.documents import Infrastructure, day, instant
from assay.logger.elastic.ecs import Ecs
from assay.logger.elastic.template import METRICS, TRAINING
from assay.store.journal import Record
from assay.store.samples import Sample

RUN = {
    "experiment": "digits",
    "hostname": "node1",
    "run_id": "r-1",
    "project": "digits",
    "name": "resnet",
    "sent": "2026-11-26T12:00:01.000Z",
}
LAYOUTS = {"elasticinfrastructure": Infrastructure, "ecs": Ecs}
NOON = 1_795_694_400.25  # 2026-11-26T12:00:00.250Z
RECORD = Record(7, NOON, "validation", 2, 69, 4851, {"loss": 0.41, "bad": math.nan, "high": math.inf, "low": -math.inf})
GPU = {
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
    "memory_clock_mhz": 1215,
}
MACHINE: dict[str, Any] = {
    "cpu_percent": 37.5,
    "cpu_percent_by_core": [75.0, 0.0],
    "load_1_minute": 1.5,
    "memory_total_bytes": 1000,
    "memory_available_bytes": 400,
    "memory_used_bytes": 550,
    "memory_free_bytes": 300,
    "memory_percent": 60.0,
    "swap_total_bytes": 200,
    "swap_used_bytes": 50,
    "swap_free_bytes": 150,
    "swap_percent": 25.0,
    "disk_total_bytes": 5000,
    "disk_used_bytes": 2000,
    "disk_free_bytes": 2900,
    "disk_percent": 40.8,
    "disk_read_bytes_per_second": 10.5,
    "disk_written_bytes_per_second": 20.5,
    "disk_reads_per_second": 1.5,
    "disk_writes_per_second": 2.5,
    "network_received_bytes_per_second": 30.5,
    "network_sent_bytes_per_second": 40.5,
    "temperatures_celsius": {"coretemp/Core 0": 50.0, "coretemp/Core.x": 60.0, "nvme/Composite": 35.0},
    "temperature_limits_celsius": {"coretemp/Core 0": {"high": 80.0, "critical": 100.0}},
    "gpus": {"0": GPU, "1": GPU | {"utilization_percent": 3, "temperature_celsius": 41}},
}
USED: dict[str, Any] = {
    "cpu_percent": 193.0,
    "processes": 3,
    "threads": 40,
    "memory_rss_bytes": 700,
    "gpus": {"0": {"memory_used_bytes": 20}, "1": {"memory_used_bytes": 22}},
}
SAMPLE = Sample(512, NOON, MACHINE, USED)
TIMING = Sample(900, NOON, training={"epoch": 0, "step": 21, "seconds": 2.0, "samples": 1293})


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, part in content.items():
            yield from leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(content, list):
        for part in content:
            yield from leaves(part, path)
    else:
        yield path, content


def type_of(path: str, mappings: dict[str, Any]) -> str | None:
    place = mappings
    for part in path.split("."):
        if place.get("dynamic") is True and part not in place.get("properties", {}):
            return "float"
        if place.get("type") == "flattened":
            return "keyword"
        if part not in place.get("properties", {}):
            return None
        place = place["properties"][part]
    return str(place.get("type"))


FITTING = {
    "keyword": str,
    "date": str,
    "long": int,
    "double": int | float,
    "float": int | float,
    "scaled_float": int | float,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_field_has_a_type_that_fits_its_values(layout: str) -> None:
    make = LAYOUTS[layout](RUN)
    samples = [*make.sample(SAMPLE), *make.sample(TIMING)]
    assert len({name for name, _ in samples}) == len(samples)
    for document in (make.record(RECORD), *(document for _, document in samples)):
        mappings = TRAINING[layout] if "record_id" in document else METRICS[layout]
        for path, value in leaves(document):
            type_ = type_of(path, mappings)
            assert type_ in FITTING, f"{path} has no type"
            assert isinstance(value, FITTING[type_]), f"{path} is {value!r} and not {type_}"
            assert not isinstance(value, bool)
        assert document["@timestamp"] == "2026-11-26T12:00:00.250Z"
        assert document["run_id"] == "r-1"
        assert b"null" not in orjson.dumps(document)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_field_has_the_same_type_among_records_and_samples(layout: str) -> None:
    def types(properties: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
        for name, field in properties.items():
            yield from (
                types(field["properties"], f"{path}{name}.")
                if "properties" in field
                else [(f"{path}{name}", field.get("type", ""))]
            )

    of_records, of_samples = (dict(types(every[layout]["properties"])) for every in (TRAINING, METRICS))
    both = of_records.keys() & of_samples.keys()
    assert len(both) > 10
    assert [(name, of_records[name]) for name in both] == [(name, of_samples[name]) for name in both]


def test_the_layout_of_py_elasticinfrastructure_is_kept() -> None:
    documents = dict(Infrastructure(RUN).sample(SAMPLE))
    assert documents.keys() == {"cpu", "temperature", "memory", "disk", "network", "gpu", "run"}
    for type_, document in documents.items():
        assert document["measurement_type"] == type_
        assert (document["experiment"], document["hostname"]) == ("digits", "node1")
        assert document["timestamp"] == document["@timestamp"]
    cpu = documents["cpu"]["measurement"]
    assert (cpu["cpu_load_average"], cpu["cpu_load_threads"]) == (37.5, [75.0, 0.0])
    assert cpu["cpu_temperatures"][0] == {"label": "Core 0", "current": 50.0, "high": 80.0, "critical": 100.0}
    assert cpu["cpu_temperature_average"] == {"Core 0": 50.0, "Core_x": 60.0}
    memory = documents["memory"]["measurement"]
    assert memory == {
        "virtual_memory": {"total": 1000, "available": 400, "percent": 60.0, "used": 550, "free": 300},
        "swap_memory": {"total": 200, "used": 50, "free": 150, "percent": 25.0},
    }
    gpu = documents["gpu"]["measurement"]
    first = gpu["gpus_data"][0]
    assert first["id"] == 0
    assert (first["load"], first["memoryTotal"], first["memoryUtil"]) == (0.97, 80 * 1024, 0.25)
    assert gpu["gpus_averages"]["temperature"] == 51
    assert documents["run"]["measurement"] == {
        "cpu_percent": 193.0,
        "processes": 3,
        "threads": 40,
        "memory_rss_bytes": 700,
        "gpu_memory_bytes": 42,
    }
    assert documents["temperature"]["measurement"] == {"sensors": [{"label": "nvme/Composite", "current": 35.0}]}
    (epoch,) = [document for _, document in Infrastructure(RUN).sample(TIMING)]
    assert epoch["measurement"]["samples_per_second"] == 646.5


def test_boards_over_guessed_types_find_the_words_that_they_ask_for() -> None:
    top = METRICS["elasticinfrastructure"]["properties"]
    gpus = top["measurement"]["properties"]["gpus_data"]["properties"]
    for field in (top["experiment"], top["hostname"], top["measurement_type"], gpus["name"], gpus["uuid"]):
        assert field["fields"]["keyword"]["type"] == "keyword"


def test_a_record_is_a_document_and_numbers_that_json_has_not_are_words() -> None:
    document = Infrastructure(RUN).record(RECORD)
    assert (document["record_id"], document["measurement_type"]) == (7, "training")
    assert document["measurement"] == {
        "phase": "validation",
        "epoch": 2,
        "step": 69,
        "samples": 4851,
        "values": {"loss": 0.41},
        "not_finite": {"bad": "NaN", "high": "Infinity", "low": "-Infinity"},
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_that_differ_by_a_dot_alone_stay_apart_and_make_no_objects(layout: str) -> None:
    values = {"top": 1.0, "top.5": 0.5, "top_5": 0.25, "f1/0": 0.125}
    document = LAYOUTS[layout](RUN).record(Record(0, NOON, "test", 0, 1, 2, values))
    told = document["assay"]["training"] if layout == "ecs" else document["measurement"]
    assert told["values"] == {"top": 1.0, "top%2E5": 0.5, "top_5": 0.25, "f1/0": 0.125}


def test_ecs_has_the_names_of_metricbeat_with_shares_from_0_to_1() -> None:
    documents = dict(Ecs(RUN).sample(SAMPLE))
    assert documents["cpu"]["host"]["cpu"]["usage"] == 0.375
    assert documents["cpu"]["system"]["cpu"]["total"] == {"norm": {"pct": 0.375}, "pct": 0.75}
    assert documents["core/0"]["system"]["core"] == {"id": "0", "total": {"pct": 0.75}}
    assert documents["memory"]["system"]["memory"]["actual"] == {"free": 400, "used": {"bytes": 600, "pct": 0.6}}
    assert documents["filesystem"]["system"]["filesystem"]["free"] == 3000
    assert documents["gpu/1"]["hw"]["gpu"]["utilization"] == 0.03
    assert documents["sensor/nvme/Composite"]["hw"]["temperature"] == 35.0
    assert documents["run"]["system"]["process"]["cpu"]["total"]["pct"] == 1.93
    assert documents["run"]["event"] == {"kind": "metric", "module": "system", "dataset": "system.process"}
    record = Ecs(RUN).record(RECORD)
    assert record["assay"]["training"]["values"] == {"loss": 0.41}
    assert record["labels"] == {"experiment": "digits", "project": "digits", "run": "r-1"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", [*MACHINE, *(f"gpu {name}" for name in GPU)])
def test_whatever_a_machine_does_not_tell_the_rest_is_there(layout: str, missing: str) -> None:
    kind, _, name = missing.partition(" ")
    if kind == "gpu":
        gpus = {"0": {key: value for key, value in GPU.items() if key != name}}
        sample = Sample(1, NOON, MACHINE | {"gpus": gpus}, USED)
    else:
        sample = Sample(1, NOON, {key: value for key, value in MACHINE.items() if key != missing}, USED)
    documents = dict(LAYOUTS[layout](RUN).sample(sample))
    assert len(documents) >= 6
    assert b"null" not in orjson.dumps(documents)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_of_nothing_has_no_documents(layout: str) -> None:
    assert list(LAYOUTS[layout](RUN).sample(Sample(1, NOON))) == []


def test_days_are_those_of_utc() -> None:
    assert day(1_795_651_199.9) == "2026.11.25"
    assert day(1_795_651_200.0) == "2026.11.26"
    assert instant(0) == "1970-01-01T00:00:00.000Z"
