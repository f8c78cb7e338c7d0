"""Sacred: runs in MongoDB, where Omniboard shows them, or in files in the run folder."""

from __future__ import annotations

import gzip
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval, MinLen

from assay.logger.again import records_between, samples_between
from assay.logger.base import BaseLogger, RunInfo
from assay.logger.heat_map import heat_map
from assay.logger.sacred import facts
from assay.logger.sacred.thinning import Series, moment
from assay.store.journal import JOURNAL, Record, last_id
from assay.store.run_folder import FINAL
from assay.store.samples import SYSTEM, Sample
from assay.utils.atomic import read_json

if TYPE_CHECKING:
    from assay.logger.sacred.files import FileRuns
    from assay.logger.sacred.mongo import MongoRuns

__all__ = ["SacredLogger"]

_log = logging.getLogger(__name__)

_DEAD = "PROBABLY_DEAD"  # Omniboard's word for a run that ended without saying so


class SacredLogger(BaseLogger):
    """A run as Sacred keeps it, driven from the journal: nothing of Sacred runs in the training.

    A metric of more than `max_points` points is thinned to every second, fourth, … of them; what is left out of the
    plot is in the artifact `journal.jsonl.gz`. Points that are not finite stand apart (Omniboard would plot a 0).

    Args:
        mongo_url: where MongoDB is, best as `${env:MONGO_URL}`; without it the files of Sacred's file storage are
            written to `sacred/1/` of the run folder.
        database: of MongoDB.
        max_points: of a metric, above which it is thinned.
        system: show what the machine used as metrics `system/…` too, over the seconds since the run was created:
            percent, watts, degrees, and the run's memory in GiB (the rest is in the artifact `system.jsonl.gz`).
        media: keep pictures, matrices (as pictures) and histograms (as JSON) as artifacts.
        checkpoint: keep the best checkpoint in MongoDB too, at the end.
    """

    def __init__(
        self,
        mongo_url: Annotated[str, MinLen(1)] | None = None,
        database: Annotated[str, MinLen(1)] = "sacred",
        max_points: Annotated[int, Interval(ge=100, le=200_000)] = 20_000,
        system: bool = False,
        media: bool = True,
        checkpoint: bool = False,
    ) -> None:
        # Imported where it is used, in the courier: whoever trains only asks whether a server can be reached.
        needed = ("sacred",) if mongo_url is None else ("sacred", "pymongo")
        if missing := [name for name in needed if find_spec(name) is None]:
            raise ImportError(f"SacredLogger needs {' and '.join(missing)}: pip install 'assay[sacred]'")
        self.mongo_url, self.database, self.max_points = mongo_url, database, max_points
        self.shows_system, self.shows_media, self.keeps_checkpoint = system, media, checkpoint
        self.observer: MongoRuns | FileRuns | None = None
        self.series: dict[str, Series] = {}
        self.position: tuple[int, int] | None = None
        """The last record and sample in `series`, unless it is unknown what became of some."""

    def reach(self) -> None:
        if self.mongo_url is not None:
            from assay.logger.sacred.client import reach

            reach(self.mongo_url, self.database)

    def start(self, run: RunInfo) -> None:
        self.run = run
        self.observer = self.observer or self._connect()
        # What has ended does not live again because somebody delivers the rest of it.
        self.observer.living = facts.read_status(run).get("state", "running") not in FINAL
        self.observer.started_event(**facts.started(run))
        if self.position != (run.delivered, run.sampled):
            self._load()
        self._restore()
        self._has_code = False
        if self.observer.living:
            self._heartbeat(time.time())

    def log(self, records: Sequence[Record]) -> None:
        if not self._whole:  # what a resume measured again has come to where it was
            self.run = replace(self.run, delivered=records[0].id - 1, sampled=(self.position or (-1, -1))[1])
            self._load()
            self._restore()
        delivered, sampled = self._take()
        fresh = [record for record in records if record.id > delivered]
        for record in fresh:
            self._add(record)
        self._flush()
        for record in fresh if self.shows_media else ():
            self._keep_media(record)
        self.position = (max(delivered, records[-1].id), sampled)

    def system(self, samples: Sequence[Sample]) -> None:
        delivered, sampled = self._take()
        if self.shows_system:
            for sample in samples:
                if sample.id > sampled:
                    self._add_sample(sample)
            self._flush()
        self.position = (delivered, max(sampled, samples[-1].id))

    def file(self, path: Path, name: str) -> None:
        if name.startswith("code/"):
            self._open.sources(self._code(path, name))
            self._has_code = True
        elif name not in ("output.log", "status.json"):  # these are the captured output, status and result
            self._open.artifact_event(name, str(path))
        if name == "environment.json" and not self._open.run_entry["host"]["hostname"]:  # it came after the start
            self._open.started_event(**facts.started(self.run))

    def beat(self) -> None:
        self._flush()
        self._heartbeat(time.time())

    def close(self, status: str) -> None:
        observer = self._open
        self._flush(everything=True)
        if status != "running":
            if observer.remote:
                self._keep_all()
            end = facts.ended(self.run, self._last_time())
            self._heartbeat(end)
            if status == "completed":
                observer.completed_event(moment(end), facts.result(self.run))
            elif status == "failed":
                observer.failed_event(moment(end), facts.fail_trace(self.run))
            else:
                observer.interrupted_event(moment(end), "INTERRUPTED" if status == "interrupted" else _DEAD)
        observer.close()
        self.observer = None

    @property
    def _open(self) -> MongoRuns | FileRuns:
        assert self.observer, "start comes first"
        return self.observer

    def _connect(self) -> MongoRuns | FileRuns:
        if self.mongo_url is None:
            from assay.logger.sacred.files import FileRuns

            return FileRuns(self.run.folder / "sacred")
        from assay.logger.sacred.mongo import MongoRuns

        return MongoRuns(self.mongo_url, self.database, f"{self.run.project}/{self.run.id}")

    def _code(self, path: Path, name: str) -> dict[str, Path]:
        """This file; the first time all that there are, for one by one they would take many round trips each."""
        folder = self.run.folder / "code"
        every = () if self._has_code else sorted(folder.rglob("*"))
        found = {part.relative_to(folder).as_posix(): part for part in every if part.is_file()}
        return found | {name.removeprefix("code/"): path}

    def _take(self) -> tuple[int, int]:
        """The position, unknown from here on until all is safe: after a failure `start` reads the journal again."""
        position, self.position = self.position, None
        assert position, "start comes first"
        return position

    def _load(self) -> None:
        """The series from the journal: what is delivered, and nothing that a resume took back.

        A resume may have taken back what is delivered, and measure the same again: until it has, the far end
        alone knows these points, and stays as it is.
        """
        self.series, self.position, self._began = {}, None, self.run.created
        self._pending: dict[str, None] = {}
        self._whole = last_id(self.run.folder / JOURNAL) >= self.run.delivered
        if self._whole:
            for record in records_between(self.run, -1, self.run.delivered):
                self._add(record)
        for sample in samples_between(self.run.folder, -1, self.run.sampled) if self.shows_system else ():
            self._add_sample(sample)
        self.position = (self.run.delivered, self.run.sampled)

    def _restore(self) -> None:
        self._info: dict[str, Any] = {}
        self._pending = {}
        self._written, self._cost = 0.0, 0.0
        self._describe()
        self._open.restore(self.series, self.run.delivered, self._info, self._whole)

    def _add(self, record: Record) -> None:
        for name, value in record.scalars():
            self._of(name).add(record.id, record.time, record.step, value)

    def _add_sample(self, sample: Sample) -> None:
        self._began = self._began or sample.time
        second = int(sample.time - self._began)
        for name, value in sample.scalars():
            if plotted := facts.plotted(name, value):
                self._of(plotted[0]).add(sample.id, sample.time, second, plotted[1])

    def _of(self, name: str) -> Series:
        self._pending[name] = None
        if (series := self.series.get(name)) is None:
            series = self.series[name] = Series(self.max_points)
        return series

    def _flush(self, everything: bool = False) -> None:
        """Write what is new.

        What is written whole each time (files), or is thinned and thereby large, is written when a twentieth of
        the time goes into it at most, and at the end: until then the journal, which `start` reads, keeps it safe.
        """
        due = everything or time.monotonic() - self._written > 20 * self._cost
        grows = self._open.grows
        names = [name for name in self._pending if due or (grows and self.series[name].finite.stride == 1)]
        if not (names or everything) or not (grows or self._whole):
            return
        self._describe()
        began = time.monotonic()
        chosen = names if grows and not everything else self.series
        self._open.log_metrics({name: self.series[name] for name in chosen}, self._info)
        for name in names:
            del self._pending[name]
        if due:
            self._written = time.monotonic()
            self._cost = self._written - began

    def _describe(self) -> None:
        """What a reader of the plots should know: which are thinned, and how many points are not finite."""
        every = {name: series.finite.stride for name, series in self.series.items() if series.finite.stride > 1}
        odd = {name: series.odd.count for name, series in self.series.items() if series.odd.count}
        self._info["assay"] = facts.legal({"folder": self.run.id, "one_point_of": every, "not_finite": odd})

    def _heartbeat(self, seconds: float) -> None:
        self._open.heartbeat_event(self._info, facts.captured(self.run), moment(seconds), facts.result(self.run))

    def _last_time(self) -> float:
        times = [points.times[-1] for series in self.series.values() for points in (series.finite,) if points.times]
        return max(times, default=0.0)

    def _keep_media(self, record: Record) -> None:
        for name, medium in record.media.items():
            path = self.run.folder / str(medium.get("path", ""))
            kept = f"media/{path.name}"
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    if medium.get("kind") == "matrix":
                        content = read_json(path)
                        picture = Path(scratch, "matrix.png")
                        picture.write_bytes(heat_map(content["values"], content.get("labels") or []))
                        path, kept = picture, str(Path(kept).with_suffix(".png"))
                    with path.open("rb"):
                        pass
                except (OSError, ValueError, LookupError, TypeError) as error:
                    # A picture that was deleted, or is none, must not hold up the numbers.
                    _log.warning("record %d: no picture for %s/%s: %s", record.id, record.phase, name, error)
                    continue
                self._open.artifact_event(kept, str(path), {"record": record.id})

    def _keep_all(self) -> None:
        """The journal and the samples as they are, and the best checkpoint."""
        with tempfile.TemporaryDirectory() as scratch:
            for name in (JOURNAL, SYSTEM):
                if (self.run.folder / name).is_file():
                    packed = Path(scratch, f"{name}.gz")
                    # No name and time in it: the same journal is the same file.
                    with (
                        (self.run.folder / name).open("rb") as source,
                        packed.open("wb") as stream,
                        gzip.GzipFile("", "wb", 6, stream, mtime=0) as target,
                    ):
                        shutil.copyfileobj(source, target, 1 << 20)
                    self._open.artifact_event(packed.name, str(packed))
        best = self.run.folder / "checkpoints" / "best"
        for path in sorted(best.iterdir()) if self.keeps_checkpoint and best.is_dir() else ():
            self._open.artifact_event(f"checkpoints/best/{path.name}", str(path))
