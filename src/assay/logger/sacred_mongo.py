"""Sacred's observer for MongoDB, so that repeating any of its calls changes nothing."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from bson import ObjectId
from pymongo import MongoClient, ReplaceOne, UpdateOne
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from assay.logger.sacred_package import MongoObserver
from assay.logger.thinning import Points, Series, moment

__all__ = ["MongoRuns", "reach"]

T = TypeVar("T")

_CHUNK = 255 << 10  # bytes, the usual size of GridFS
_AT_ONCE = 16  # chunks
_ATTEMPTS = 3


def connect(url: str, patience: float = 6.0) -> MongoClient[dict[str, Any]]:
    """A client that waits for nothing longer than 10 s and repeats nothing by itself.

    Args:
        url: of the server.
        patience: seconds until a server must have been found; one far away may take two to greet.
    """
    return MongoClient(
        url,
        appname="assay",
        connect=False,
        serverSelectionTimeoutMS=round(1000 * patience),
        connectTimeoutMS=5000,
        socketTimeoutMS=10000,
        retryWrites=False,
        retryReads=False,
        w="majority",
        journal=True,
    )


def reach(url: str, database: str) -> None:
    """Read from the database, which needs the same server and password as writing.

    Raises:
        ConnectionError: it does not answer, or refuses.
    """
    try:
        with connect(url, patience=2.0) as client:
            client[database]["runs"].find_one({}, {"_id": 1})
    except PyMongoError as error:
        # pymongo goes on with the timeouts and the whole topology.
        reason = str(error).partition(", Timeout: ")[0].partition(" (configured timeouts")[0]
        raise ConnectionError(f"MongoDB cannot be used: {reason}") from error


class _Patient:
    """A collection whose commands are repeated at once where a server stumbles or a connection is lost.

    Without it, ten commands in a row would never all succeed where every other one fails. Each of them may have
    been done although it failed: none here minds. A server that does not answer in time is left to the courier.
    """

    def __init__(self, collection: Any) -> None:
        self.collection, self.name = collection, collection.name

    def find(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        """All at once, so that reading can be repeated as a whole."""
        return self.again(lambda: list(self.collection.find(*args, **options)))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self.again, getattr(self.collection, name))

    def again(self, command: Callable[..., T], *args: Any, **options: Any) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return command(*args, **options)
            except (NetworkTimeout, ServerSelectionTimeoutError, DuplicateKeyError):
                raise
            except (AutoReconnect, OperationFailure):
                continue
        return command(*args, **options)


class MongoRuns(MongoObserver):  # type: ignore[misc]
    """One run in a database; what Sacred's observer writes, in the same documents.

    It finds its run again by `assay.run`, so that the run keeps its number; the numbers of metrics and files
    come from their content; a document of a metric is only continued where it is known to end.

    Args:
        url: of the server.
        database: its name.
        key: of the run, the same after every crash and on every machine.
    """

    grows = True
    """A metric's document is continued, not written anew."""
    remote = True

    def __init__(self, url: str, database: str, key: str) -> None:
        super().__init__(client=connect(url), db_name=database)
        self.key = {"assay.run": key}
        base = self._client[database]
        self.files, self.chunks = _Patient(base["fs.files"]), _Patient(base["fs.chunks"])
        self.runs: Any = _Patient(base.runs)
        self.metrics: Any = _Patient(base.metrics)
        self.living = True
        self._saved: dict[str, Any] = {}
        self._known: dict[str, tuple[str, tuple[int, int], int, int]] = {}

    def close(self) -> None:
        self._client.close()

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: None = None,
    ) -> int:
        """Make the run's document, or go on with the one that there is."""
        if (found := self.runs.find_one(self.key)) is None:
            self._make_indexes()
            super().started_event(ex_info, command, host_info, start_time, config, meta_info, _id)
            return int(self.run_entry["_id"])
        self._adopt(found)
        sources = found.get("experiment", {}).get("sources", [])
        self.run_entry |= {"experiment": ex_info | {"sources": sources}, "command": command, "host": host_info}
        self.run_entry |= {"config": config, "meta": meta_info}
        if self.living:
            self.run_entry["status"] = "RUNNING"
            self.run_entry.pop("stop_time", None)
            self.run_entry.pop("fail_trace", None)
        self.save()
        return int(found["_id"])

    def restore(self, series: Mapping[str, Series], delivered: int, info: dict[str, Any], whole: bool) -> None:
        """Bring the metrics and artifacts to where `series` and record `delivered` are.

        Args:
            whole: there are no other metrics than these; else those stay as they are.
        """
        kept = [entry for entry in self.run_entry["artifacts"] if entry.get("record", -1) <= delivered]
        gone = [entry["file_id"] for entry in self.run_entry["artifacts"] if entry not in kept]
        self.run_entry["artifacts"] = kept
        self.save()
        for identity in gone:
            self._remove(identity)
        self._known = {}
        surplus = []
        for found in self.metrics.find({"run_id": self.run_entry["_id"]}, {"name": 1, "assay": 1}):
            mine = series.get(found["name"])
            state = found.get("assay", {})
            if mine is None and not whole:
                info.setdefault("metrics", []).append({"name": found["name"], "id": str(found["_id"])})
            elif mine is None or found["_id"] != self._metric_id(found["name"]):
                surplus.append(found["_id"])
            elif state.get("mark") == mine.mark:
                self._known[found["name"]] = _state(mine)
        if surplus:
            self.metrics.delete_many({"_id": {"$in": surplus}})
        self.log_metrics(series, info)

    def log_metrics(self, metrics_by_name: Mapping[str, Series], info: dict[str, Any]) -> None:
        """Write what is new of these series; `info` names every metric of the run."""
        names = [name for name, series in metrics_by_name.items() if self._known.get(name) != _state(series)]
        writes = [self._write(name, metrics_by_name[name]) for name in names]
        if writes:
            done = self.metrics.bulk_write(writes, ordered=False)
            if done.matched_count + done.upserted_count < len(writes):
                # A document is not as this process left it: somebody else wrote to it, or a write came twice.
                writes = [self._whole(name, metrics_by_name[name]) for name in names]
                self.metrics.bulk_write(writes, ordered=False)
            self._known |= {name: _state(metrics_by_name[name]) for name in names}
        listed = {entry["name"]: entry for entry in info.get("metrics", ())}
        listed |= {name: {"name": name, "id": str(self._metric_id(name))} for name in metrics_by_name}
        info["metrics"] = list(listed.values())
        self.run_entry["info"] = dict(info)
        self.save()

    def artifact_event(
        self, name: str, filename: str, metadata: dict[str, Any] | None = None, content_type: str | None = None
    ) -> None:
        """Keep a file; one of the same name is replaced. `metadata` goes into the entry of the run."""
        path = f"artifact://{self.runs.name}/{self.run_entry['_id']}/{name}"
        entry = {"name": name, "file_id": self._put(path, Path(filename)), **(metadata or {})}
        if entry not in self.run_entry["artifacts"]:
            others = [other for other in self.run_entry["artifacts"] if other["name"] != name]
            self.run_entry["artifacts"] = [*others, entry]
            self.save()
        for old in self.files.find({"filename": path, "_id": {"$ne": entry["file_id"]}}, {"_id": 1}):
            self._remove(old["_id"])

    def source(self, name: str, path: Path) -> None:
        """Keep a source file; runs with the same content share it."""
        experiment = self.run_entry["experiment"]
        others = [source for source in experiment["sources"] if source[0] != name]
        sources = sorted([*others, [name, self._put(name, path)]], key=lambda source: str(source[0]))
        self.run_entry["experiment"] = experiment | {"sources": sources}
        self.save()

    def save_sources(self, ex_info: dict[str, Any]) -> list[Any]:
        return []  # they come by `source`, one by one

    def insert(self) -> None:
        """Take the next free number; two that want the same one get two."""
        while True:
            highest = self.runs.find({"_id": {"$type": "number"}}, {"_id": 1}, sort=[("_id", -1)], limit=1)
            number = max((int(run["_id"]) for run in highest), default=0) + 1
            entry = {**self.run_entry, "_id": number, "assay": {"run": self.key["assay.run"]}}
            try:
                self.runs.insert_one(entry)
            except DuplicateKeyError:
                if (found := self.runs.find_one(self.key)) is None:
                    continue
                entry = found  # another courier of this run was faster
            self._adopt(entry)
            return

    def save(self) -> None:
        """Write the fields that have changed; those of others, such as Omniboard's tags, are left alone.

        Raises:
            LookupError: somebody removed the run.
        """
        entry, saved = self.run_entry, self._saved
        changed = {name: value for name, value in entry.items() if name not in saved or saved[name] != value}
        gone = dict.fromkeys(saved.keys() - entry.keys(), "")
        if not changed and not gone:
            return
        update = {name: fields for name, fields in (("$set", changed), ("$unset", gone)) if fields}
        if not self.runs.update_one({"_id": entry["_id"]}, update).matched_count:
            raise LookupError(f"run {entry['_id']} is no longer in the database")
        self._saved = dict(entry)

    def final_save(self, attempts: int) -> None:
        self.save()  # the courier repeats what failed

    def _adopt(self, entry: dict[str, Any]) -> None:
        self.run_entry, self._saved = dict(entry), dict(entry)
        for name, value in (("artifacts", []), ("info", {})):
            self.run_entry.setdefault(name, value)

    def _make_indexes(self) -> None:
        """Before the first document of the run: where that is there, they are too."""
        self.runs.create_index("assay.run", unique=True, sparse=True)
        self.metrics.create_index("run_id")
        self.chunks.create_index([("files_id", 1), ("n", 1)], unique=True)
        self.files.create_index([("filename", 1), ("uploadDate", 1)])
        self.files.create_index("metadata.sha256", sparse=True)

    def _metric_id(self, name: str) -> ObjectId:
        return _identity(self.key["assay.run"], name)

    def _write(self, name: str, series: Series) -> UpdateOne | ReplaceOne[dict[str, Any]]:
        known = self._known.get(name)
        if known is None or known[1] != series.strides:
            return self._whole(name, series)
        mark, _, size, odd = known
        push = {
            f"{place}{field}": {"$each": values}
            for place, points, start in (("", series.finite, size), ("not_finite.", series.odd, odd))
            for field, values in _columns(points, start).items()
            if len(points) > start
        }
        update = {"$set": {"assay": _about(series)}} | ({"$push": push} if push else {})
        return UpdateOne({"_id": self._metric_id(name), "assay.mark": mark}, update)

    def _whole(self, name: str, series: Series) -> ReplaceOne[dict[str, Any]]:
        identity = self._metric_id(name)
        document = {"_id": identity, "run_id": self.run_entry["_id"], "name": name, "assay": _about(series)}
        document |= {**_columns(series.finite), "not_finite": _columns(series.odd)}
        return ReplaceOne({"_id": identity}, document, upsert=True)

    def _remove(self, file: ObjectId) -> None:
        self.files.delete_one({"_id": file})
        self.chunks.delete_many({"files_id": file})

    def _put(self, name: str, path: Path) -> ObjectId:
        """Into GridFS, once: the id is that of the name and content, and every write can be repeated by anybody."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            identity = _identity(name, digest)
            if self.files.find_one({"_id": identity}, {"_id": 1}):
                return identity
            stream.seek(0)
            numbered = enumerate(iter(lambda: stream.read(_CHUNK), b""))
            length = 0
            while some := list(islice(numbered, _AT_ONCE)):
                self.chunks.bulk_write(
                    [
                        UpdateOne({"files_id": identity, "n": number}, {"$set": {"data": data}}, upsert=True)
                        for number, data in some
                    ],
                    ordered=False,
                )
                length += sum(len(data) for _, data in some)
        facts = {"filename": name, "length": length, "chunkSize": _CHUNK, "metadata": {"sha256": digest}}
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        facts |= {"contentType": kind, "uploadDate": moment(path.stat().st_mtime)}
        self.files.update_one({"_id": identity}, {"$setOnInsert": facts}, upsert=True)
        return identity


def _identity(*parts: str) -> ObjectId:
    return ObjectId(hashlib.sha256("\0".join(parts).encode()).digest()[:12])


def _state(series: Series) -> tuple[str, tuple[int, int], int, int]:
    return series.mark, series.strides, len(series.finite), len(series.odd)


def _about(series: Series) -> dict[str, Any]:
    counts = {"measured": series.finite.count + series.odd.count, "not_finite": series.odd.count}
    return {"mark": series.mark, "every": series.finite.stride, **counts}


def _columns(points: Points, start: int = 0) -> dict[str, list[Any]]:
    times: Iterator[datetime] = map(moment, points.times[start:])
    return {"steps": points.steps[start:].tolist(), "values": points.values[start:].tolist(), "timestamps": list(times)}
