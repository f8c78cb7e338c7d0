"""What the tests of SacredLogger ask a database and a journal."""

from __future__ import annotations

import json
import math
from typing import Any

import gridfs

from assay.logger.base import RunInfo
from assay.logger.sacred.thinning import moment
from assay.store.journal import JOURNAL, read

CREATED = 1_767_225_600.0


def run_info(run: Any, delivered: int = -1, sampled: int = -1) -> RunInfo:
    config = json.loads((run.folder / "config.json").read_text())
    return RunInfo(run.folder, run.folder.name, "digits", "resnet", config, CREATED, delivered, sampled)


def records(run: Any, after: int = -1) -> list[Any]:
    return [record for record in read(run.folder / JOURNAL) if record.id > after]


def plotted(base: Any, run_id: int = 1) -> dict[str, list[tuple[int, float, Any]]]:
    found = base.metrics.find({"run_id": run_id})
    return {
        entry["name"]: list(zip(entry["steps"], entry["values"], entry["timestamps"], strict=True)) for entry in found
    }


def journalled(run: Any, last: int | None = None) -> dict[str, list[tuple[int, float, Any]]]:
    found: dict[str, list[tuple[int, float, Any]]] = {}
    for record in read(run.folder / JOURNAL):
        for name, value in record.scalars():
            if math.isfinite(value) and (last is None or record.id <= last):
                time = moment(record.time)  # MongoDB keeps milliseconds
                time = time.replace(microsecond=time.microsecond // 1000 * 1000)
                found.setdefault(name, []).append((record.step, value, time))
    return found


def grid(base: Any) -> gridfs.GridFS:
    return gridfs.GridFS(base)


def artifact(base: Any, name: str, run_id: int = 1) -> bytes:
    entries = [entry for entry in base.runs.find_one({"_id": run_id})["artifacts"] if entry["name"] == name]
    assert len(entries) == 1
    return bytes(grid(base).get(entries[0]["file_id"]).read())
