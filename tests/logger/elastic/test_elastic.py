"""ElasticLogger against a server that speaks Elasticsearch's protocol over TCP."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import elasticsearch
import pytest

from assay.logger.base import NotTaken, RunInfo
from assay.logger.courier.launch import start
from assay.logger.elastic.logger import ElasticLogger
from assay.store.journal import Record, read
from assay.store.samples import Sample
from servers import Server, elastic_server

NOON = 1_795_694_400.0
DAY = 86_400.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = elastic_server(tmp_path_factory.mktemp("elastic")).start()
    yield running
    running.stop()


class Far:
    """The far end, asked directly."""

    def __init__(self, server: Server) -> None:
        self.url = f"http://127.0.0.1:{server.port}"
        self.client = elasticsearch.Elasticsearch(self.url, request_timeout=10)

    def documents(self, index: str, **terms: Any) -> list[dict[str, Any]]:
        self.client.indices.refresh(index=index)
        query = {"bool": {"filter": [{"term": {key: value}} for key, value in terms.items()]}}
        hits = self.client.search(index=index, query=query, size=10_000)["hits"]["hits"]
        return [hit["_source"] for hit in hits]

    def scalars(self, index: str, run: str) -> list[tuple[int, str, float | str]]:
        found = []
        for document in self.documents(f"{index}-*", run_id=run, measurement_type="training"):
            measured = document["measurement"]
            for metric, value in (measured.get("values", {}) | measured.get("not_finite", {})).items():
                found.append((document["record_id"], f"{measured['phase']}/{metric}", value))
        return sorted(found, key=str)


@pytest.fixture
def far(server: Server) -> Far:
    return Far(server)


@pytest.fixture
def info(tmp_path: Path) -> Callable[..., RunInfo]:
    """A run that has its files; each test has its own, and its own index."""
    folder = tmp_path / f"run-{tmp_path.name}"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "model.py").write_text("width = 3\n")
    (folder / "code" / "weights.bin").write_bytes(b"\0\1\2")
    config = {"project": "digits", "name": "resnet", "optimizer": {"args": {"lr": 0.1, "betas": [0.9, None]}}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "environment.json").write_text('{"hostname": "node1", "python": "3.11"}')
    (folder / "status.json").write_text('{"state": "running", "created": 1795694400.0}')

    def make(delivered: int = -1, sampled: int = -1) -> RunInfo:
        return RunInfo(folder, folder.name, "digits", "resnet", config, NOON, delivered, sampled)

    return make


def record(id_: int, time: float = NOON, **values: float) -> Record:
    return Record(id_, time, "train", 0, id_, id_ * 64, values or {"loss": 1 / (id_ + 1)})


def test_every_scalar_is_there_once_however_often_it_is_sent(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="once")
    records = [
        record(id_, NOON + id_ * DAY / 4, loss=1 / 3, accuracy=id_ / 7, whole=id_ and id_ + 0.5, odd=math.nan)
        for id_ in range(8)
    ]
    logger.start(info())
    logger.log(records)
    logger.log(records[2:5])
    again = ElasticLogger(far.url, index="once")
    again.start(info(delivered=3))
    again.log(records[4:])
    expected = [(one.id, name, "NaN" if value != value else value) for one in records for name, value in one.scalars()]
    assert far.scalars("once", info().id) == sorted(expected, key=str)
    indices = far.client.indices.get(index="once-*")
    assert set(indices) == {f"once-training-2026.11.{day}" for day in (26, 27, 28)}
    mappings = indices["once-training-2026.11.26"]["mappings"]
    types = mappings["properties"]["measurement"]["properties"]["values"]["properties"]
    assert {name: field["type"] for name, field in types.items()} == dict.fromkeys(
        ("loss", "accuracy", "learning_rate", "whole"), "double"
    )
    assert mappings["dynamic"] == "false"


def test_records_have_an_index_without_the_fields_of_the_machine_and_both_are_searched_as_one(
    far: Far, info: Callable[..., RunInfo]
) -> None:
    logger = ElasticLogger(far.url, index="apart")
    logger.start(info())
    logger.log([record(0)])
    logger.system([Sample(0, NOON, {"cpu_percent": 50.0}, {})])
    indices = far.client.indices.get(index="apart-*")
    assert set(indices) == {"apart-2026.11.26", "apart-training-2026.11.26"}
    of_records, of_samples = (
        indices[name]["mappings"]["properties"]["measurement"]["properties"]
        for name in ("apart-training-2026.11.26", "apart-2026.11.26")
    )
    assert "cpu_load_average" in of_samples
    assert "cpu_load_average" not in of_records
    assert {one["measurement_type"] for one in far.documents("apart-*", run_id=info().id)} == {"training", "cpu"}


def test_samples_have_a_document_for_each_type_and_are_there_once(far: Far, info: Callable[..., RunInfo]) -> None:
    machine = {"cpu_percent": 50.0, "memory_total_bytes": 1 << 34, "temperatures_celsius": {"coretemp/Core 0": 51.5}}
    samples = [Sample(id_, NOON + id_, machine, {"cpu_percent": 100.0}) for id_ in (0, 250, 500)]
    logger = ElasticLogger(far.url, index="samples", experiment="warm")
    logger.start(info())
    logger.system(samples)
    logger.system(samples[1:])
    found = far.documents("samples-*", run_id=info().id)
    assert sorted(document["measurement_type"] for document in found) == ["cpu"] * 3 + ["memory"] * 3 + ["run"] * 3
    assert {document["experiment"] for document in found} == {"warm"}
    assert {document["hostname"] for document in found} == {"node1"}
    answer = far.client.search(
        index="samples-*", size=0, aggs={"t": {"max": {"field": "measurement.cpu_temperatures.current"}}}
    )
    assert answer["aggregations"]["t"]["value"] == 51.5


def test_what_a_resume_has_taken_back_is_gone(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="cut")
    logger.start(info())
    logger.log([record(id_, NOON + id_ * DAY / 4) for id_ in range(10)])
    other = RunInfo(info().folder, "other", "digits", "resnet", {}, NOON)
    neighbour = ElasticLogger(far.url, index="cut")
    neighbour.start(other)
    neighbour.log([record(7)])
    time.sleep(0.002)
    logger.start(info(delivered=3))
    assert [id_ for id_, *_ in far.scalars("cut", info().id)] == [0, 1, 2, 3]
    logger.log([record(4, NOON + 20 * DAY, loss=9.0)])
    assert far.scalars("cut", info().id)[-1] == (4, "train/loss", 9.0)
    assert len(far.scalars("cut", "other")) == 1


def test_a_removal_that_a_server_comes_to_late_takes_nothing_new_away(
    far: Far, info: Callable[..., RunInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = ElasticLogger(far.url, index="late")
    logger.start(info())
    logger.log([record(id_) for id_ in range(6)])
    remove, asked = elasticsearch.Elasticsearch.delete_by_query, []

    def keep(self: Any, **query: Any) -> Any:
        asked.append(query)
        return remove(self, **query)

    monkeypatch.setattr(elasticsearch.Elasticsearch, "delete_by_query", keep)
    time.sleep(0.002)
    logger.start(info(delivered=1))
    assert len(far.scalars("late", info().id)) == 2
    logger.log([record(id_, loss=2.0) for id_ in range(2, 6)])
    far.client.indices.refresh(index="late-*")
    assert remove(far.client, **asked[0])["deleted"] == 0
    assert len(far.scalars("late", info().id)) == 6


def test_what_is_refused_for_good_is_named_and_the_rest_is_safe(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="refused")
    logger.start(info())
    # Somebody else has made today's index with other types.
    far.client.indices.create(
        index="refused-training-2026.11.26",
        mappings={"properties": {"measurement": {"properties": {"phase": {"type": "long"}}}}},
    )
    with pytest.raises(NotTaken) as refusal:
        logger.log([record(0), record(1, NOON + DAY), record(2)])
    assert refusal.value.reasons.keys() == {0, 2}
    assert "document_parsing_exception" in refusal.value.reasons[0]
    assert [id_ for id_, *_ in far.scalars("refused", info().id)] == [1]


def test_what_an_index_does_not_take_now_is_no_refusal(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="blocked")
    logger.start(info())
    far.client.indices.create(index="blocked-training-2026.11.26", settings={"index.blocks.write": True})
    with pytest.raises(RuntimeError, match=r"not taken now.*blocked"):
        logger.log([record(0)])


def test_a_run_has_a_document_with_its_configuration_state_and_result(far: Far, info: Callable[..., RunInfo]) -> None:
    folder = info().folder
    logger = ElasticLogger(far.url, index="runs")
    logger.start(info())
    (started,) = far.documents("experiment-runs", run_id=folder.name)
    assert (started["status"], started["@timestamp"]) == ("running", "2026-11-26T12:00:00.000Z")
    logger.beat()
    assert "heartbeat" in far.documents("experiment-runs", run_id=folder.name)[0]
    values = {"best": {"test/loss": 0.5}, "last": {"test/loss": 0.75, "test/odd": "NaN"}}
    status = {
        "state": "completed",
        "step": 9,
        "best": {"value": "NaN", "epoch": 1},
        "values": values,
        "updated": NOON + 60,
    }
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "measurements.json").write_text('{"test/loss": {"unit": "1", "better": "lower"}}')
    logger.file(folder / "measurements.json", "measurements.json")
    logger.close("completed")
    (ended,) = far.documents("experiment-runs", run_id=folder.name)
    assert (ended["status"], ended["step"], ended["best"]) == ("completed", 9, {"epoch": 1})
    assert ended["results"][0] == {"name": "test/loss", "unit": "1", "better": "lower", "best": 0.5, "last": 0.75}
    assert ended["config"]["optimizer"]["args"]["lr"] == 0.1
    found = far.client.count(index="experiment-runs", query={"term": {"config.optimizer.args.lr": "0.1"}})
    assert found["count"] >= 1


def test_the_code_and_the_output_of_a_run_are_there_as_text(far: Far, info: Callable[..., RunInfo]) -> None:
    folder = info().folder
    logger = ElasticLogger(far.url, index="code")
    logger.start(info())
    (folder / "output.log").write_text("x" * (1 << 20) + "the end\n")
    for name in ("code/model.py", "output.log"):
        logger.file(folder / name, name)
        logger.file(folder / name, name)
    (folder / "code" / "model.py").write_text("width = 4\n")
    logger.file(folder / "code" / "model.py", "code/model.py")
    files = {document["path"]: document for document in far.documents("experiment-code", run_id=folder.name)}
    assert files.keys() == {"code/model.py", "code/weights.bin", "output.log"}
    assert files["code/model.py"]["content"] == "width = 4\n"
    assert "content" not in files["code/weights.bin"]
    assert files["output.log"]["truncated"]
    assert files["output.log"]["content"].endswith("xthe end\n")
    hits = far.client.count(index="experiment-code", query={"match": {"content": "width"}})
    assert hits["count"] >= 1


def test_parts_can_be_left_out(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="parts", training=False, system=False, code=False)
    logger.start(info())
    logger.log([record(0)])
    logger.system([Sample(0, NOON, {"cpu_percent": 1.0})])
    logger.close("completed")
    assert not far.client.indices.get(index="parts-*")
    assert far.documents("experiment-code", run_id=info().id) == []


def test_the_names_of_ecs_can_be_searched(far: Far, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(far.url, index="names", layout="ecs")
    logger.start(info())
    logger.log([record(0, loss=0.25)])
    logger.system([Sample(0, NOON, {"cpu_percent": 40.0})])
    time.sleep(0.002)
    logger.start(info(delivered=-1, sampled=-1))
    assert far.documents("names-ecs-*", run_id=info().id) == []
    logger.log([record(0, loss=0.25)])
    logger.system([Sample(0, NOON, {"cpu_percent": 40.0})])
    far.client.indices.refresh(index="names-ecs-*")
    sums = {
        "cpu": {"max": {"field": "host.cpu.usage"}},
        "loss": {"max": {"field": "assay.training.values.loss"}},
    }
    assert far.client.indices.exists(index="names-ecs-2026.11.26")
    found = far.client.search(index="names-ecs-*", size=0, aggs=sums)["aggregations"]
    assert (found["cpu"]["value"], found["loss"]["value"]) == (0.4, 0.25)


def test_all_arrives_over_an_end_of_the_server_and_a_crash_of_the_courier(
    tmp_path: Path, make_run: Callable[..., Any]
) -> None:
    server = elastic_server(tmp_path).start()
    try:
        run = make_run({"type": "ElasticLogger", "args": {"url": f"http://127.0.0.1:{server.port}"}})
        run.hold()
        courier = start(run.folder, run.allowed)
        run.append(50)
        run.wait_until(lambda: (run.folder / "courier" / "ElasticLogger.json").exists())
        run.wait_until(lambda: run.cursor("ElasticLogger")["id"] == 49)
        server.stop()
        run.append(50)
        run.wait_until(lambda: run.cursor("ElasticLogger")["status"] == "retrying")
        server.start()
        run.append(50)
        run.wait_until(lambda: run.cursor("ElasticLogger")["id"] > 100)
        courier.kill()
        courier.wait()
        run.append(50)
        run.status("completed")
        run.release()
        run.sync()
        expected = sorted(
            ((one.id, name, value) for one in read(run.folder / "journal.jsonl") for name, value in one.scalars()),
            key=str,
        )
        found = Far(server).scalars("experiment-metrics", run.folder.name)
        assert [one[:2] for one in found] == [one[:2] for one in expected]
        # This server reads the last bit of some numbers wrong; Elasticsearch keeps the text that it was sent.
        assert [one[2] for one in found] == pytest.approx([one[2] for one in expected], rel=1e-15)
        assert len(expected) == 400
    finally:
        server.stop()
