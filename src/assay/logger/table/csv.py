"""Measurements as a table in the run folder: one row for each value, for spreadsheets, pandas, R and DuckDB."""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from assay.logger.again import records_between, samples_between
from assay.logger.base import BaseLogger, RunInfo
from assay.logger.table.sheet import MEASUREMENTS, SYSTEM_VALUES, Sheet, rows_of_records, rows_of_samples
from assay.store.journal import Record
from assay.store.samples import Sample
from assay.utils.atomic import read_json, write_json

__all__ = ["CSVLogger", "TableLogger"]


@dataclass
class _Position:
    """What the files hold: the last record and sample, and the bytes; -1 where a file has to be made anew."""

    id: int = -1
    sample: int = -1
    sizes: dict[str, int] = field(default_factory=lambda: {"measurements": -1, "system": -1})

    @classmethod
    def load(cls, path: Path) -> _Position:
        try:
            return cls(**read_json(path))
        except (FileNotFoundError, ValueError, TypeError):
            return cls()  # none, or emptied by a loss of power


class TableLogger(BaseLogger):
    """Two tables that are copies of the journal and of the samples: where one is not what the courier says, it is
    written anew from these.
    """

    form: ClassVar[str]

    @abstractmethod
    def sheet(self, path: Path, columns: Sequence[str]) -> Sheet:
        """The table `path`, without an ending, with these columns."""

    def start(self, run: RunInfo) -> None:
        self.run = run
        folder = run.folder / "tables"
        folder.mkdir(exist_ok=True)
        self._path = folder / f".{self.form}.json"
        self.position = _Position.load(self._path)
        self.measurements = self.sheet(folder / "measurements", MEASUREMENTS)
        self.samples = self.sheet(folder / "system", SYSTEM_VALUES)
        if self.position.id != run.delivered or not self.measurements.holds(self.position.sizes["measurements"]):
            self._rebuild_measurements(run.delivered)
        if self.position.sample != run.sampled or not self.samples.holds(self.position.sizes["system"]):
            self._rebuild_system(run.sampled)

    def log(self, records: Sequence[Record]) -> None:
        before = records[0].id - 1
        if self.position.sizes["measurements"] < 0 or self.position.id != before:
            self._rebuild_measurements(before)
        size = self.measurements.append(self.position.sizes["measurements"], rows_of_records(records))
        self.position.id, self.position.sizes["measurements"] = records[-1].id, size
        self.save()

    def system(self, samples: Sequence[Sample]) -> None:
        if self.position.sizes["system"] < 0 or self.position.sample >= samples[0].id:
            self._rebuild_system(samples[0].id - 1)
        size = self.samples.append(self.position.sizes["system"], rows_of_samples(samples))
        self.position.sample, self.position.sizes["system"] = samples[-1].id, size
        self.save()

    def save(self) -> None:
        write_json(self._path, asdict(self.position))

    def _rebuild_measurements(self, last: int) -> None:
        records = records_between(self.run, -1, last)
        self.position.sizes["measurements"] = self.measurements.rebuild(rows_of_records(records))
        self.position.id = last
        self.save()

    def _rebuild_system(self, last: int) -> None:
        samples = samples_between(self.run.folder, -1, last)
        self.position.sizes["system"] = self.samples.rebuild(rows_of_samples(samples))
        self.position.sample = last
        self.save()


class CSVLogger(TableLogger):
    """Every value of the journal as a row of `tables/measurements.csv` in the run folder, those of the machine in
    `tables/system.csv`; both can be read while the run goes on. Times are seconds since 1970.
    """

    form = "csv"

    def sheet(self, path: Path, columns: Sequence[str]) -> Sheet:
        return _CSVSheet(path.with_suffix(".csv"), columns)


class _CSVSheet(Sheet):
    def head(self) -> bytes:
        return self.encoded([self.columns])

    def encoded(self, rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()
