"""TensorBoard: the journal's scalars and media as an event file (`tensorboard --logdir saved`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from assay.logger.again import records_between, samples_between
from assay.logger.base import BaseLogger, RunInfo
from assay.logger.tensorboard.event_file import Position, append, create
from assay.logger.tensorboard.values import charts, hyperparameters, medium, session_end, text_of_file
from assay.store.journal import Record
from assay.store.samples import Sample
from assay.utils.atomic import read_json
from assay.utils.digest import sha256_of

__all__ = ["TensorBoardLogger"]

_log = logging.getLogger(__name__)

_TEXTS = ("config.json", "transforms.json", "environment.json", "output.log")


class TensorBoardLogger(BaseLogger):
    """Every scalar of the journal exactly once, as "phase/name" at the record's step and time.

    TensorBoard keeps scalars as float32. The event file is a copy: whenever it does not end where the courier
    says (a resume cut the journal, someone removed it), it is written anew from the journal.

    Args:
        system: what the machine and the run used as well, as "system/machine/cpu_percent", …, by the seconds of the
            run, and how long the training took, as "system/training/seconds", by its steps.
    """

    def __init__(self, system: bool = False) -> None:
        self.shows_system = system

    def start(self, run: RunInfo) -> None:
        self.run = run
        self.folder = run.folder / "tensorboard"
        self.folder.mkdir(exist_ok=True)
        self.position = Position.load(self.folder / "position.json")
        path = self.folder / self.position.file
        whole = path.is_file() and path.stat().st_size >= self.position.size
        samples = not self.shows_system or self.position.sample == run.sampled
        if whole and self.position.id == run.delivered and samples:
            self._append([])
            self._remove_others()
        else:
            self._rebuild(run.delivered, run.sampled)

    def log(self, records: Sequence[Record]) -> None:
        before = records[0].id - 1
        if self.position.status or self.position.id != before:
            self._rebuild(before, self.position.sample)
        self.position.id = records[-1].id
        self._append(event for record in records for event in self._of_record(record))

    def system(self, samples: Sequence[Sample]) -> None:
        new = [sample for sample in samples if sample.id > self.position.sample]
        if not new or not self.shows_system:
            return
        if self.position.status:
            self._rebuild(self.position.id, self.position.sample)
        self.position.sample = new[-1].id
        self._append(event for sample in new for event in self._of_sample(sample))

    def file(self, path: Path, name: str) -> None:
        if name not in (*_TEXTS, "measurements.json") and not name.startswith("code/"):
            return
        digest = sha256_of(path)
        known = self.position.files.get(name)
        if known == digest:
            return
        self.position.files[name] = digest
        if known:
            self._rebuild(self.position.id, self.position.sample)
        else:
            self._append(self._of_file(name))

    def close(self, status: str) -> None:
        if status in ("running", self.position.status):
            return
        if self.position.status:
            self._rebuild(self.position.id, self.position.sample)
        self.position.status = status
        self._append([Event(wall_time=time.time(), summary=Summary(value=[session_end(status == "completed")]))])

    def _append(self, events: Iterable[Event]) -> None:
        self.position.size = append(self.folder / self.position.file, self.position.size, events)
        self.position.save(self.folder / "position.json")

    def _rebuild(self, record: int, sample: int) -> None:
        """A new file with all there is up to this record and sample; only when it is there is the old one removed."""
        path = create(self.folder, self._until(record, sample), self._began())
        self.position.file, self.position.size, self.position.status = path.name, path.stat().st_size, ""
        self.position.save(self.folder / "position.json")
        self._remove_others()

    def _until(self, last: int, sampled: int) -> Iterator[Event]:
        for name in self.position.files:
            yield from self._of_file(name)
        self.position.id = self.position.sample = self.position.second = self.position.step = -1
        for record in records_between(self.run, -1, last):
            yield from self._of_record(record)
            self.position.id = record.id
        for sample in samples_between(self.run.folder, -1, sampled) if self.shows_system else ():
            yield from self._of_sample(sample)
            self.position.sample = sample.id

    def _remove_others(self) -> None:
        for path in self.folder.glob("events.out.tfevents.*"):
            if path.name != self.position.file:
                path.unlink()

    def _began(self) -> float:
        return (self.run.folder / "config.json").stat().st_mtime

    def _of_record(self, record: Record) -> Iterator[Event]:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in record.scalars()]
        for name, entry in record.media.items():
            tag = f"{record.phase}/{name}"
            try:
                values += medium(tag, entry["kind"], self.run.folder / entry["path"])
            except (OSError, ValueError, LookupError, TypeError) as error:
                # A picture that was deleted, or is none, must not hold up the numbers.
                _log.warning("record %d: no picture for %s: %s", record.id, tag, error)
        yield Event(wall_time=record.time, step=record.step, summary=Summary(value=values))

    def _of_sample(self, sample: Sample) -> Iterator[Event]:
        """At a step of its own, so that a tag has one point at each."""
        position, values = self.position, list(sample.scalars())
        if sample.training:
            step = int(sample.training.get("step", 0))
            if step <= position.step:
                return  # measured again after a resume
            position.step = step
        else:
            step = position.second = max(position.second + 1, int(sample.time - self.run.created))
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
        yield Event(wall_time=sample.time, step=step, summary=summary)

    def _of_file(self, name: str) -> Iterator[Event]:
        path = self.run.folder / name
        values: list[Summary.Value] = []
        try:
            if name == "measurements.json":
                values += filter(None, [charts(read_json(path))])
            else:
                values.append(text_of_file(name.removesuffix(".json").removesuffix(".log"), path))
            if name == "config.json":
                values.append(hyperparameters(read_json(path), self.run.id, self._began()))
        except (OSError, ValueError) as error:  # no text, or gone: the numbers go on
            _log.warning("%s is not shown: %s", name, error)
        if values:
            yield Event(wall_time=self._began(), summary=Summary(value=values))
