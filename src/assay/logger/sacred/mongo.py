"""Sacred's observer for MongoDB, so that repeating any of its calls changes nothing."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.logger.sacred.client import (
    DuplicateKeyError,
    IndexModel,
    ObjectId,
    Patient,
    ReplaceOne,
    UpdateOne,
    connect,
)
from assay.logger.sacred.package import MongoObserver
from assay.logger.sacred.thinning import Points, Series, moment
from assay.utils.digest import sha256_of

__all__ = ["MongoRuns"]

_CHUNK = 255 << 10  # bytes, the usual size of GridFS
_AT_ONCE = 4 << 20  # bytes of a request


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
        self.files, self.chunks = Patient(base["fs.files"]), Patient(base["fs.chunks"])
        self.runs: Any = Patient(base.runs)
        self.metrics: Any = Patient(base.metrics)
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
        file = _File(path, Path(filename))
        entry = {"name": name, "file_id": file.identity, **(metadata or {})}
        if entry in self.run_entry["artifacts"]:
            return
        self._upload([file])
        before = [other for other in self.run_entry["artifacts"] if other["name"] == name]
        others = [other for other in self.run_entry["artifacts"] if other["name"] != name]
        self.run_entry["artifacts"] = [*others, entry]
        self.save()
        for old in before:
            if old["file_id"] != file.identity:
                self._remove(old["file_id"])

    def sources(self, paths: Mapping[str, Path]) -> None:
        """Keep source files; runs with the same content share them."""
        files = [_File(name, path) for name, path in paths.items()]
        experiment = self.run_entry["experiment"]
        listed = dict(experiment["sources"])
        new = [file for file in files if listed.get(file.name) != file.identity]
        if not new:
            return
        query = {"_id": {"$in": [file.identity for file in new]}}
        there = {found["_id"] for found in self.files.find(query, {"_id": 1})}
        self._upload([file for file in new if file.identity not in there])
        listed |= {file.name: file.identity for file in new}
        self.run_entry["experiment"] = experiment | {"sources": [list(source) for source in sorted(listed.items())]}
        self.save()

    def save_sources(self, ex_info: dict[str, Any]) -> list[Any]:
        return []  # they come by `sources`

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
        names = IndexModel([("filename", 1), ("uploadDate", 1)])
        self.files.create_indexes([names, IndexModel("metadata.sha256", sparse=True)])

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

    def _upload(self, files: Sequence[_File]) -> None:
        """Into GridFS: every write can be repeated by anybody, and a file is there when all of it is."""
        writes: list[UpdateOne] = []
        facts: list[UpdateOne] = []
        size = 0
        for file in files:
            length = 0
            for number, data in enumerate(file.chunks()):
                query = {"files_id": file.identity, "n": number}
                writes.append(UpdateOne(query, {"$set": {"data": data}}, upsert=True))
                length += len(data)
                size += len(data)
                if size >= _AT_ONCE:
                    self.chunks.bulk_write(writes, ordered=False)
                    writes, size = [], 0
            fact = {"filename": file.name, "length": length, "chunkSize": _CHUNK, "metadata": {"sha256": file.digest}}
            fact |= {"contentType": mimetypes.guess_type(file.name)[0] or "application/octet-stream"}
            fact |= {"uploadDate": moment(file.path.stat().st_mtime)}
            facts.append(UpdateOne({"_id": file.identity}, {"$setOnInsert": fact}, upsert=True))
        for place, some in ((self.chunks, writes), (self.files, facts)):
            if some:
                place.bulk_write(some, ordered=False)


class _File:
    """A file under the id that its name and content give it."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.digest = sha256_of(path)
        self.identity = _identity(name, self.digest)

    def chunks(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            while data := stream.read(_CHUNK):
                yield data


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
