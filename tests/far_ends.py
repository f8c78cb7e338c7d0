"""What MongoDB, Elasticsearch and MLflow have of a run, in one form, to be held against its journal."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from assay.store.journal import JOURNAL, Record, read
from proxy import http_answer, mongo_answer
from servers import Server, elastic_server, mlflow_server, mongo_server

__all__ = ["FAR_ENDS", "Elastic", "FarEnd", "MLflow", "Mongo", "Point", "journalled"]

Point = tuple[str, int, str]
"""Full name, step, value; as many of them as there are, sorted."""


def journalled(folder: Path, spell: Callable[[float], str] = repr) -> list[Point]:
    return sorted(_points(read(folder / JOURNAL), spell))


def _points(records: Iterator[Record], spell: Callable[[float], str] = repr) -> Iterator[Point]:
    for record in records:
        for name, value in record.scalars():
            yield name, record.step, spell(value)


class FarEnd:
    """A tracker: its server, the logger that writes to it, and what it has.

    Args:
        folder: for what the server keeps.
        name: of the database, index or experiment, so that tests do not meet.
    """

    type: str
    mongo = False
    make: Callable[..., Server]

    def __init__(self, folder: Path) -> None:
        self.server = type(self).make(folder)

    @staticmethod
    def spell(value: float) -> str:
        """A value as exactly as the server keeps it."""
        return repr(value)

    def interrupt(self) -> None:
        """End the server as hard as it can bear: it keeps what it acknowledged."""
        self.server.kill()

    def logger(self, name: str, port: int | None = None) -> dict[str, Any]:
        """The entry of a configuration; with the port of a proxy, if there is one."""
        return {"type": self.type, "args": self._args(name, port or self.server.port)}

    def points(self, name: str, run: str) -> list[Point]:
        """All that it has of a run, but for the machine's samples."""
        raise NotImplementedError

    def failing(self, request: bytes) -> bytes | None:
        """The answer of a server that has a fault of its own, status 500."""
        return http_answer(500)

    def full(self, request: bytes) -> bytes | None:
        """The answer of a server whose disk is full; None where it needs no disk for it."""
        raise NotImplementedError

    def _args(self, name: str, port: int) -> dict[str, Any]:
        raise NotImplementedError


class Mongo(FarEnd):
    type = "SacredLogger"
    mongo = True
    make = staticmethod(mongo_server)

    def _args(self, name: str, port: int) -> dict[str, Any]:
        return {"mongo_url": f"mongodb://127.0.0.1:{port}", "database": name}

    def points(self, name: str, run: str) -> list[Point]:
        import gridfs
        import pymongo

        found: list[Point] = []
        with pymongo.MongoClient(f"mongodb://127.0.0.1:{self.server.port}") as client:
            base = client[name]
            entries = [entry for entry in base.runs.find() if entry["assay"]["run"].rpartition("/")[2] == run]
            if not entries:
                return []
            (entry,) = entries
            metrics = list(base.metrics.find({"run_id": entry["_id"]}))
            assert len({metric["name"] for metric in metrics}) == len(metrics)
            for metric in metrics:
                if metric["name"].startswith("system/"):
                    continue
                points = list(zip(metric["steps"], metric["values"], strict=True))
                if metric["assay"]["every"] > 1:  # the whole series is in the artifact
                    (kept,) = (one for one in entry["artifacts"] if one["name"] == f"{JOURNAL}.gz")
                    lines = gzip.decompress(gridfs.GridFS(base).get(kept["file_id"]).read()).splitlines()
                    whole = [point for point in _points(map(Record.parse, lines)) if point[0] == metric["name"]]
                    assert [step for step, _ in points] == [step for _, step, _ in whole[:: metric["assay"]["every"]]]
                    found += whole
                    continue
                odd = metric["not_finite"]
                points += zip(odd["steps"], odd["values"], strict=True)
                found += [(metric["name"], step, repr(value)) for step, value in points]
        return sorted(found)

    def failing(self, request: bytes) -> bytes | None:
        return mongo_answer(request, {"ok": 0, "errmsg": "the server stumbles", "code": 1, "codeName": "InternalError"})

    def full(self, request: bytes) -> bytes | None:
        if not any(word in request[:60] for word in (b"insert\0", b"update\0", b"createIndexes\0")):
            return None
        told = {"ok": 0, "errmsg": "No space left on device", "code": 14031, "codeName": "OutOfDiskSpace"}
        return mongo_answer(request, told)


class Elastic(FarEnd):
    type = "ElasticLogger"
    make = staticmethod(elastic_server)

    @staticmethod
    def spell(value: float) -> str:
        # The stand-in reads some numbers as their neighbours: with so few digits that is next to never seen.
        return f"{value:.6e}"

    def interrupt(self) -> None:
        self.server.stop()

    def _args(self, name: str, port: int) -> dict[str, Any]:
        return {"url": f"http://127.0.0.1:{port}", "index": name}

    def points(self, name: str, run: str) -> list[Point]:
        import elasticsearch
        from elasticsearch import helpers

        found: list[Point] = []
        with elasticsearch.Elasticsearch(f"http://127.0.0.1:{self.server.port}") as client:
            client.indices.refresh(index=f"{name}-*", ignore_unavailable=True)
            for hit in helpers.scan(client, index=f"{name}-*", query={"query": {"term": {"run_id": run}}}):
                document = hit["_source"]
                if document["measurement_type"] == "training":
                    measured = document["measurement"]
                    values = measured.get("values", {}) | measured.get("not_finite", {})
                    for metric, value in values.items():
                        full = f"{measured['phase']}/{metric.replace('%2E', '.')}"
                        found.append((full, measured["step"], self.spell(float(value))))
        return sorted(found)

    def full(self, request: bytes) -> bytes | None:
        """As Elasticsearch answers once the flood-stage watermark is exceeded: deleting alone is allowed."""
        blocked = {
            "type": "cluster_block_exception",
            "reason": f"index [{self.type.lower()}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage "
            "watermark, index has read-only-allow-delete block];",
        }
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split()[1]
        if path.startswith(b"/_bulk"):
            actions = [line for line in body.splitlines() if line.startswith(b'{"index":')]
            items = [{"index": {**orjson.loads(one)["index"], "status": 429, "error": blocked}} for one in actions]
            return http_answer(200, {"errors": True, "items": items})
        if b"_delete_by_query" in path:
            return http_answer(429, {"error": {**blocked, "root_cause": [blocked]}, "status": 429})
        return None


class MLflow(FarEnd):
    type = "MLflowLogger"
    make = staticmethod(mlflow_server)

    def _args(self, name: str, port: int) -> dict[str, Any]:
        return {"tracking_uri": f"http://127.0.0.1:{port}", "experiment": name}

    def points(self, name: str, run: str) -> list[Point]:
        import mlflow

        client = mlflow.MlflowClient(f"http://127.0.0.1:{self.server.port}")
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            return []
        runs = client.search_runs([experiment.experiment_id], f"tags.`assay.run` = '{run}'")
        assert len(runs) <= 1
        points = (
            (key, point.step, repr(_infinite(point.value)))
            for found in runs
            for key in found.data.metrics
            if not key.startswith("system/")
            for point in client.get_metric_history(found.info.run_id, key)
        )
        return sorted(points)

    def full(self, request: bytes) -> bytes | None:
        if request.startswith(b"GET ") or b"/search" in request.split(b"\r\n", 1)[0]:
            return None
        message = "(sqlite3.OperationalError) database or disk is full"
        return http_answer(500, {"error_code": "INTERNAL_ERROR", "message": message})


def _infinite(value: float) -> float:
    """MLflow's database has the largest number for what is infinite."""
    return math.copysign(math.inf, value) if abs(value) > 1.79e308 else value


FAR_ENDS: dict[str, type[FarEnd]] = {"mongo": Mongo, "elastic": Elastic, "mlflow": MLflow}
