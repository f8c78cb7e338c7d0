from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.logger.base import RunInfo
from assay.logger.table.csv import CSVLogger, TableLogger
from assay.logger.table.parquet import ParquetLogger
from assay.store.journal import JOURNAL, read
from assay.store.samples import SYSTEM, read_samples

both = pytest.mark.parametrize("kind", [CSVLogger, ParquetLogger])


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run()


def opened(kind: type[TableLogger], folder: Path, delivered: int = -1, sampled: int = -1) -> TableLogger:
    logger = kind()
    logger.start(RunInfo(folder, folder.name, "digits", "resnet", {}, 0.0, delivered, sampled))
    return logger


def table(folder: Path, name: str = "measurements") -> pd.DataFrame:
    path = folder / "tables" / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.read_csv(path.with_suffix(".csv"))


@both
def test_a_row_holds_all_that_the_journal_says_of_a_value(kind: type[TableLogger], run: Any) -> None:
    values = {'the, "loss"': 0.1 + 0.2, "not a number": math.nan, "far": -math.inf, "small": 5e-324}
    run.journal.append(phase="validation", epoch=3, step=84, samples=5376, values=values, time=1767225600.25)
    logger = opened(kind, run.folder)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.close("completed")
    rows = table(run.folder)
    assert list(rows) == ["id", "time", "phase", "epoch", "step", "samples", "name", "value"]
    assert rows["name"].tolist() == list(values)
    assert rows["value"].tolist() == pytest.approx(list(values.values()), rel=0, abs=0, nan_ok=True)
    first = rows.iloc[0]
    assert (first["id"], first["phase"], first["epoch"], first["step"], first["samples"]) == (
        0,
        "validation",
        3,
        84,
        5376,
    )
    time = first["time"] if kind is CSVLogger else first["time"].timestamp()
    assert time == 1767225600.25


@both
def test_the_machine_has_a_table_of_its_own(kind: type[TableLogger], run: Any) -> None:
    line = '{"time": 1767225600.5, "machine": {"cpu_percent": 81.2, "cores": [1.0, 2.0]}, "run": {"memory_bytes": 7}}\n'
    (run.folder / SYSTEM).write_text(line * 3)
    logger = opened(kind, run.folder)
    samples = read_samples(run.folder / SYSTEM)
    logger.system(samples[:2])
    logger = opened(kind, run.folder, sampled=samples[0].id)  # killed before the second was noted
    logger.system(samples[1:])
    logger.close("completed")
    rows = table(run.folder, "system")
    assert list(rows) == ["id", "time", "name", "value"]
    names = [
        "system/machine/cpu_percent",
        "system/machine/cores/0",
        "system/machine/cores/1",
        "system/run/memory_bytes",
    ]
    assert rows["name"].tolist() == names * 3
    assert rows["value"].tolist() == [81.2, 1.0, 2.0, 7.0] * 3


@both
@pytest.mark.parametrize("damage", ["torn", "longer", "gone", "no position"])
def test_whatever_a_crash_leaves_the_next_start_makes_it_whole(kind: type[TableLogger], run: Any, damage: str) -> None:
    run.append(30)
    records = list(read(run.folder / JOURNAL))
    logger = opened(kind, run.folder)
    logger.log(records[:10])
    logger.log(records[10:20])
    path = logger.measurements.path
    content = path.read_bytes()
    if damage == "torn":
        path.write_bytes(content[:-7])
    elif damage == "longer":
        path.write_bytes(content + content[-33:])
    elif damage == "gone":
        path.unlink()
    else:
        (run.folder / "tables" / f".{kind.form}.json").write_text("")
    logger = opened(kind, run.folder, 19)
    logger.log(records[20:])
    logger.close("completed")
    assert table(run.folder)["id"].tolist() == [number for number in range(30) for _ in range(2)]


def test_a_csv_file_can_be_read_while_the_run_goes_on(run: Any) -> None:
    run.append(5)
    logger = opened(CSVLogger, run.folder)
    assert len(table(run.folder)) == 0
    logger.log(list(read(run.folder / JOURNAL)))
    assert len(table(run.folder)) == 10


def test_a_run_that_has_ended_leaves_the_parquet_files_alone(run: Any) -> None:
    run.append(5)
    logger = opened(ParquetLogger, run.folder)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.close("running")
    assert len(table(run.folder)) == 10
    logger.close("failed")
    folder = run.folder / "tables"
    assert sorted(path.name for path in folder.iterdir()) == [".parquet.json", "measurements.parquet", "system.parquet"]
    stamp = (folder / "measurements.parquet").stat().st_mtime_ns
    opened(ParquetLogger, run.folder, 4).close("failed")
    assert (folder / "measurements.parquet").stat().st_mtime_ns == stamp
    (folder / "measurements.parquet").unlink()
    opened(ParquetLogger, run.folder, 4).close("failed")
    assert len(table(run.folder)) == 10


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'assay\[parquet\]'"):
        ParquetLogger()
