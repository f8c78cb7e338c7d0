"""What a logger is: four calls, made by the courier, in a process that has no tensors, and one before a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.store.journal import Record

__all__ = ["BaseLogger", "RunInfo"]


@dataclass(frozen=True)
class RunInfo:
    """The run that a logger is to show.

    Args:
        folder: the run folder; media paths of records are relative to it.
        id: the name of the folder: unique, and the same after a resume.
        project: of the configuration.
        name: of the configuration.
        config: the whole configuration.
        delivered: id of the last record that this logger has confirmed; -1 before the first.
    """

    folder: Path
    id: str
    project: str
    name: str
    config: dict[str, Any]
    delivered: int = -1


class BaseLogger(ABC):
    """Shows a run somewhere.

    Import heavy packages in the constructor and connect in `start`: what the constructor raises ends this
    logger for now (`assay sync` tries again); what the other calls raise is said once, and the call is
    repeated after a while, beginning with `start`; so each may come more than once for the same thing.

    Records come in the order of their ids and at least once: an id that came before is to be overwritten or
    skipped. After a resume has cut the journal, `start` is called again with a smaller `run.delivered`:
    everything after that id no longer counts.
    """

    def reach(self) -> None:  # noqa: B027 - files on this machine are always reached
        """Raise what would keep records from arriving; nothing is written. `assay check` asks before a run."""

    @abstractmethod
    def start(self, run: RunInfo) -> None:
        """Open the run, or open it again to go on after `run.delivered`."""

    @abstractmethod
    def log(self, records: Sequence[Record]) -> None:
        """Deliver records; when this returns they are safe."""

    def file(self, path: Path, name: str) -> None:  # noqa: B027 - most trackers keep no files
        """Deliver a file of the run, e.g. `config.json` or `code/model.py`; again when it has changed."""

    def close(self, status: str) -> None:  # noqa: B027 - nothing to end where nothing is open
        """End for now: completed, interrupted, failed, died (without a word), or running (it goes on)."""
