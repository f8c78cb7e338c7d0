"""What W&B's own reader finds in the files of an offline run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from assay.store.journal import JOURNAL, read

__all__ = ["folder_of", "journalled", "of_type", "shown"]

Point = tuple[str, int, float, str]


def folder_of(run: Any) -> Path:
    (folder,) = (run.folder / "wandb").glob("offline-run-*")
    return Path(folder)


def of_type(run: Any, kind: str) -> list[Any]:
    """Everything of one kind in the file of the run, in its order."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(folder_of(run))]
    # It keeps a log of its own where it is started.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=run.folder.parent)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [line[kind] for line in lines if line["type"] == kind]


def shown(run: Any) -> list[Point]:
    points = []
    for row in of_type(run, "history"):
        item = row["item"]
        media = tuple(name.removesuffix("_type") for name in item if name.endswith("._type"))
        for name, value in item.items():
            if "/" in name and not name.startswith(media):
                points.append((name, item["step"], item["_timestamp"], repr(float(value))))
    return sorted(points)


def journalled(folder: Path) -> list[Point]:
    return sorted(
        (name, record.step, record.time, repr(value))
        for record in read(folder / JOURNAL)
        for name, value in record.scalars()
    )
