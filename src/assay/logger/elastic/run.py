"""A run itself as documents: one with its configuration, state and result, and one for each of its files."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from assay.logger.base import RunInfo
from assay.logger.elastic.documents import instant, spelled

__all__ = ["RunDocuments"]

Named = tuple[str, str, dict[str, Any]]
"""Index, id, content."""

_OF_THE_RUN = ("config.json", "transforms.json", "environment.json", "measurements.json", "status.json")
_OF_THE_STATUS = ("reason", "monitor", "epoch", "epochs", "step", "seconds")
_LONGEST = 1 << 20


class RunDocuments:
    """What `experiment-runs` and `experiment-code` say of a run; read from its folder.

    Args:
        run: the run.
        experiment: what it belongs to.
        files: whether its files have documents as well.
    """

    def __init__(self, run: RunInfo, experiment: str, *, files: bool) -> None:
        self.run = run
        self.with_files = files
        host = _object(_text(run.folder / "environment.json")).get("hostname") or platform.node()
        self.about = {
            "experiment": experiment,
            "hostname": host,
            "run_id": run.id,
            "project": run.project,
            "name": run.name,
        }
        self._known: dict[str, str] = {}
        self._beat = 0.0

    def id(self, *parts: str) -> str:
        """An id that is always the same for the same thing; Elasticsearch takes 512 bytes at most."""
        text = "-".join((self.run.id, *parts))
        return text if len(text.encode()) <= 512 else hashlib.sha256(text.encode()).hexdigest()

    def all(self) -> Iterator[Named]:
        """Everything that there is by now."""
        yield self._run()
        if self.with_files:
            for path in sorted((self.run.folder / "code").rglob("*")):
                if path.is_file():
                    yield from self.file(path, path.relative_to(self.run.folder).as_posix())

    def file(self, path: Path, name: str) -> Iterator[Named]:
        """The documents that a new content of the file changes; none where it is known."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if self._known.get(name) == digest:
            return
        if name in _OF_THE_RUN:
            yield self._run()
        elif self.with_files:
            yield self._file(name, content, digest)
        self._known[name] = digest

    def beat(self) -> Iterator[Named]:
        """The run with its state of now."""
        self._beat = time.time()
        yield self._run()

    def end(self, status: str) -> Iterator[Named]:
        """The run with how it ended."""
        yield self._run(status)

    def _run(self, ended: str | None = None) -> Named:
        contents: dict[str, dict[str, Any]] = {}
        truncated = False
        for name in _OF_THE_RUN:
            text = _text(self.run.folder / name)
            self._known[name] = hashlib.sha256(text).hexdigest()
            truncated = truncated or len(text) > _LONGEST
            contents[name] = _object(text) if len(text) <= _LONGEST else {}
        status = contents["status.json"]
        best = status.get("best") or {}
        document: dict[str, Any] = {
            "@timestamp": instant(self.run.created),
            **self.about,
            "status": ended or status.get("state", "running"),
            **{name: status[name] for name in _OF_THE_STATUS if name in status},
            "best": {name: value for name, value in best.items() if isinstance(value, int | float)},
            "results": _results(status, contents["measurements.json"]),
            **{name: contents[f"{name}.json"] for name in ("config", "transforms", "environment")},
            "truncated": truncated,
        }
        for name, moment in (("heartbeat", self._beat), ("updated", status.get("updated"))):
            if moment:
                document[name] = instant(moment)
        return "experiment-runs", self.run.id, document

    def _file(self, name: str, content: bytes, digest: str) -> Named:
        """Text as text, what is longer than a MiB from its end; of other files the size and the sum alone."""
        document = {
            "@timestamp": instant(self.run.created),
            **self.about,
            "path": name,
            "bytes": len(content),
            "sha256": digest,
            "truncated": len(content) > _LONGEST,
        }
        if b"\0" not in content:
            document["content"] = content[-_LONGEST:].decode(errors="replace")
        return "experiment-code", self.id(name), document


def _results(status: dict[str, Any], measurements: dict[str, Any]) -> list[dict[str, Any]]:
    """Best and last of every measurement."""
    values = status.get("values") or {}
    best, last = values.get("best") or {}, values.get("last") or {}
    found = []
    for name in {**best, **last}:
        told = measurements.get(name) or {}
        result = {"name": name, "unit": told.get("unit"), "better": told.get("better")}
        for kind, numbers in (("best", best), ("last", last)):
            try:
                value = spelled(float(numbers[name])).get("value")
            except (KeyError, TypeError, ValueError):
                continue
            result[kind] = value
        found.append(result)
    return found


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _object(text: bytes) -> dict[str, Any]:
    """Empty where there is none, or it is being made."""
    try:
        content = orjson.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
