"""What a logger is: a few calls, made by the courier, in a process that has no tensors, and one before a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from assay.store.journal import Record
from assay.store.samples import Sample

__all__ = ["BaseLogger", "NotTaken", "RunInfo"]


@dataclass(frozen=True)
class RunInfo:
    """The run that a logger is to show.

    Args:
        folder: the run folder; media paths of records are relative to it.
        id: the name of the folder: unique, and the same after a resume.
        project: of the configuration.
        name: of the configuration.
        config: the whole configuration; what comes from the environment stands in it as `${env:NAME}`.
        created: when the run was started, seconds since 1970.
        delivered: id of the last record that this logger has confirmed; -1 before the first.
        sampled: id of the last sample that it has confirmed; -1 before the first.
        cut: where in `journal.cut.jsonl` those begin that were delivered, and that a resume is about to measure again.
    """

    folder: Path
    id: str
    project: str
    name: str
    config: dict[str, Any]
    created: float = 0.0
    delivered: int = -1
    sampled: int = -1
    cut: int = 0


class NotTaken(Exception):
    """Raised by `log` and `system`: the far end refuses these for good, and all others of the call are safe.

    Args:
        reasons: by the id of the record or sample. They are kept in `courier/NAME.refused.jsonl`.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(f"{len(reasons)} refused, the first: {next(iter(reasons.values()), '')}")
        self.reasons = dict(reasons)


class BaseLogger(ABC):
    """Shows a run somewhere.

    Import heavy packages in the constructor and connect in `start`: what the constructor raises ends this
    logger for now (`assay sync` tries again); what the other calls raise is said once, and the call is
    repeated after a while, beginning with `start`; so each may come more than once for the same thing.
    No call may wait forever: give every connection a timeout.

    Records come in the order of their ids and at least once: an id that came before is to be overwritten or
    skipped. After a resume that measured something else than before, `start` is called again with a smaller
    `run.delivered`: everything after that id no longer counts. The same holds for samples and their ids.
    """

    resend_seconds: ClassVar[float] = 0.0
    """What the far end confirmed in this time before it failed is sent again: it may have lost it."""

    def reach(self) -> None:  # noqa: B027 - files on this machine are always reached
        """Raise what would keep records from arriving; nothing is written. `assay check` asks before a run."""

    @abstractmethod
    def start(self, run: RunInfo) -> None:
        """Open the run, or open it again to go on after `run.delivered`."""

    @abstractmethod
    def log(self, records: Sequence[Record]) -> None:
        """Deliver records; when this returns they are safe."""

    def system(self, samples: Sequence[Sample]) -> None:  # noqa: B027 - not every tracker shows machines
        """Deliver what the machine and the run used; when this returns it is safe."""

    def file(self, path: Path, name: str) -> None:  # noqa: B027 - most trackers keep no files
        """Deliver a file of the run, e.g. `config.json` or `code/model.py`; again when it has changed."""

    def beat(self) -> None:  # noqa: B027 - few trackers ask whether a run lives
        """Called every few seconds while the run goes on, between other calls, whether there is anything new or not."""

    def close(self, status: str) -> None:  # noqa: B027 - nothing to end where nothing is open
        """End for now: completed, interrupted, failed, died (without a word), or running (it goes on)."""
