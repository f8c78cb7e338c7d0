"""Sacred's observer for files, so that repeating any of its calls changes nothing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.logger.sacred.package import FileStorageObserver, flatten
from assay.logger.sacred.thinning import Points, Series, moment
from assay.utils.atomic import read_json, write_bytes, write_json

__all__ = ["FileRuns"]

_ITS_OWN = ("run.json", "config.json", "cout.txt", "metrics.json", "info.json")


class FileRuns(FileStorageObserver):  # type: ignore[misc]
    """One run in `FOLDER/1/`, in the files of Sacred's observer, each of them whole at any time.

    Args:
        folder: made if it is not there; the one of this run alone.
    """

    grows = False
    remote = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.place = folder / "1"
        self.living = True

    def close(self) -> None:
        """Nothing is open."""

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
        """Make the run's files, or go on with those that there are."""
        found = self._found()
        if not found:
            super().started_event(ex_info, command, host_info, start_time, config, meta_info, None)
            return 1
        self._make_run_dir(None)
        sources = found.get("experiment", {}).get("sources", [])
        self.run_entry = {"artifacts": [], **found, "command": command, "host": host_info, "meta": meta_info}
        self.run_entry["experiment"] = ex_info | {"sources": sources}
        if self.living:
            self.run_entry["status"] = "RUNNING"
            self.run_entry.pop("stop_time", None)
            self.run_entry.pop("fail_trace", None)
        self.save_json(self.run_entry, "run.json")
        self.save_json(config, "config.json")
        return 1

    def restore(self, series: Mapping[str, Series], delivered: int, info: dict[str, Any], whole: bool) -> None:
        """Bring the artifacts, and if `series` are all there are the metrics, to where record `delivered` is."""
        records = self.run_entry.get("records", {})
        for name in [name for name, record in records.items() if record > delivered]:
            del records[name]
            self.run_entry["artifacts"].remove(name)
            (self.place / name).unlink(missing_ok=True)
        if whole:
            self.log_metrics(series, info)

    def log_metrics(self, metrics_by_name: Mapping[str, Series], info: dict[str, Any]) -> None:
        """Write these series, which are all that there are."""
        metrics = {
            name: _columns(series.finite) | ({"not_finite": _columns(series.odd)} if len(series.odd) else {})
            for name, series in metrics_by_name.items()
        }
        self.save_json(metrics, "metrics.json")
        self.save_json(info, "info.json")

    def artifact_event(
        self, name: str, filename: str, metadata: dict[str, Any] | None = None, content_type: str | None = None
    ) -> None:
        """Keep a file; one of the same name is replaced. `metadata["record"]` says which record it belongs to."""
        if name in _ITS_OWN:
            return
        self.save_file(filename, name)
        if name not in self.run_entry["artifacts"]:
            self.run_entry["artifacts"].append(name)
        if metadata and "record" in metadata:
            self.run_entry.setdefault("records", {})[name] = metadata["record"]
        self.save_json(self.run_entry, "run.json")

    def sources(self, paths: Mapping[str, Path]) -> None:
        listed = dict(self.run_entry["experiment"]["sources"])
        for name, path in paths.items():
            listed[name] = os.path.relpath(self.find_or_save(str(path), Path(self.source_dir)), self.basedir)
        self.run_entry["experiment"]["sources"] = [list(source) for source in sorted(listed.items())]
        self.save_json(self.run_entry, "run.json")

    def save_sources(self, ex_info: dict[str, Any]) -> list[Any]:
        return []  # they come by `sources`

    def save_json(self, obj: Any, filename: str) -> None:
        """In one move, and JSON: what is not finite becomes null."""
        write_json(self.place / filename, flatten(obj))

    def save_file(self, filename: str, target_name: str | None = None) -> None:
        target = self.place / (target_name or Path(filename).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, Path(filename).read_bytes())

    def save_cout(self) -> None:
        write_bytes(self.place / "cout.txt", str(self.cout).encode())

    def _make_run_dir(self, _id: None) -> None:
        self.place.mkdir(exist_ok=True)
        self.dir = str(self.place)

    def _found(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.place / "run.json"))
        except (FileNotFoundError, ValueError):
            return {}


def _columns(points: Points) -> dict[str, list[Any]]:
    times = [moment(seconds).isoformat() for seconds in points.times]
    values = [value if math.isfinite(value) else json.dumps(value) for value in points.values]
    return {"steps": points.steps.tolist(), "values": values, "timestamps": times}
