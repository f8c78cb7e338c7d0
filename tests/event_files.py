"""What TensorBoard's own reader sees of a run, and what it should see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.store.journal import JOURNAL, read

__all__ = ["journalled", "scalars"]

Scalar = tuple[str, int, float, str]


def scalars(folder: Path) -> list[Scalar]:
    """Name, step, time and value of every scalar but those of the machine; TensorBoard keeps float32."""
    accumulator = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0}).Reload()
    return sorted(
        (tag, event.step, event.wall_time, str(np.float32(event.value)))
        for tag in accumulator.Tags()["scalars"]
        if not tag.startswith("system/")
        for event in accumulator.Scalars(tag)
    )


def journalled(folder: Path) -> list[Scalar]:
    return sorted(
        (tag, record.step, record.time, str(np.float32(value)))
        for record in read(folder / JOURNAL)
        for tag, value in record.scalars()
    )
