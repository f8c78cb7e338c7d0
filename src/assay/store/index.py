"""All the runs under a folder, read from their status.json alone, so that a list of hundreds takes no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.store.lock import is_held
from assay.store.run_folder import RunFolder

__all__ = ["RunSummary", "runs", "state_of"]


@dataclass(frozen=True)
class RunSummary:
    """One line of the list. `state` is `died` where a run says running and nobody holds its lock."""

    path: Path
    project: str
    name: str
    state: str
    created: float
    epoch: int
    epochs: int
    step: int
    monitor: str
    best: float | None
    seconds: float
    reason: str = ""
    values: dict[str, Any] = field(default_factory=dict)


def runs(base: Path) -> list[RunSummary]:
    """Every run under `base`, oldest first; a folder whose status cannot be read is listed as `unreadable`."""
    found = []
    for folder in base.glob("*/*"):
        run = RunFolder(folder)
        if not run.config.is_file():
            continue
        try:
            status = run.read_status()
        except (OSError, ValueError, TypeError) as error:
            status = {"state": "unreadable", "reason": str(error), "created": folder.stat().st_mtime}
        try:
            found.append(_summary(run, status))
        except (TypeError, ValueError, AttributeError) as error:  # a status of another shape
            found.append(_summary(run, {"state": "unreadable", "reason": str(error)}))
    return sorted(found, key=lambda summary: (summary.created, summary.path))


def state_of(run: RunFolder, status: Mapping[str, Any]) -> str:
    """What a status says, or `died`: nobody was left to write that."""
    state = str(status.get("state", "unreadable"))
    return "died" if state == "running" and not is_held(run.lock) else state


def _summary(run: RunFolder, status: dict[str, Any]) -> RunSummary:
    state = state_of(run, status)
    best = status.get("best") or {}
    return RunSummary(
        path=run.path,
        project=run.path.parent.name,
        name=run.path.name,
        state=state,
        created=float(status.get("created", 0.0)),
        epoch=int(status.get("epoch", 0)),
        epochs=int(status.get("epochs", 0)),
        step=int(status.get("step", 0)),
        monitor=str(status.get("monitor", "")),
        best=best.get("value"),
        seconds=float(status.get("seconds", 0.0)),
        reason=str(status.get("reason", "")),
        values=status.get("values", {}),
    )
