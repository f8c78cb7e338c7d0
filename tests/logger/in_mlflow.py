"""What MLflow has of a run, and what the journal says it should have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mlflow

from assay.logger.mlflow.form import legal
from assay.store.journal import JOURNAL, read

__all__ = ["artifacts", "content", "journalled", "runs", "shown"]

LARGEST = 1.7976931348623157e308  # what MLflow's database has for what is infinite

Point = tuple[str, int, int, str]


def runs(uri: str, run: Any, deleted: bool = False) -> list[Any]:
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits")
    if experiment is None:
        return []
    view = mlflow.entities.ViewType.DELETED_ONLY if deleted else mlflow.entities.ViewType.ACTIVE_ONLY
    return list(client.search_runs([experiment.experiment_id], f"tags.`assay.run` = '{run.folder.name}'", view))


def shown(uri: str, run: Any) -> list[Point]:
    (found,) = runs(uri, run)
    client = mlflow.MlflowClient(uri)
    points = []
    for key in found.data.metrics:
        if not key.startswith("system/"):
            for point in client.get_metric_history(found.info.run_id, key):
                points.append((key, point.step, point.timestamp, repr(point.value)))
    return sorted(points)


def artifacts(uri: str, run: Any, path: str | None = None) -> list[str]:
    client, found = mlflow.MlflowClient(uri), runs(uri, run)[0].info.run_id
    paths = []
    for item in client.list_artifacts(found, path):
        paths += artifacts(uri, run, item.path) if item.is_dir else [item.path]
    return sorted(paths)


def content(uri: str, run: Any, path: str) -> bytes:
    place = mlflow.MlflowClient(uri).download_artifacts(runs(uri, run)[0].info.run_id, path)
    return Path(place).read_bytes()


def journalled(folder: Path) -> list[Point]:
    return sorted(
        (legal(name), record.step, round(1000 * record.time), repr(_kept(value)))
        for record in read(folder / JOURNAL)
        for name, value in record.scalars()
    )


def _kept(value: float) -> float:
    return math.copysign(LARGEST, value) if math.isinf(value) else value
