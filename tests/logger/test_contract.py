"""What holds for every logger that needs no server: the same numbers at the far end, whatever is repeated."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import in_wandb
import mlflow
import pandas as pd
import pytest
from in_mlflow import LARGEST
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.config.components import Allowed, find
from assay.logger import LOGGERS
from assay.logger.base import BaseLogger, RunInfo
from assay.store.journal import JOURNAL, Journal, Record, cut, read
from assay.store.samples import SYSTEM, read_samples

Points = list[tuple[str, int, float]]


def of_tensorboard(folder: Path) -> Points:
    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0})
    events.Reload()
    names = events.Tags()["scalars"]
    found = [(name, event.step, event.value) for name in names for event in events.Scalars(name)]
    return [point for point in found if not point[0].startswith("system/")]


def of_sacred(folder: Path) -> Points:
    metrics = json.loads((folder / "sacred" / "1" / "metrics.json").read_text())
    return [
        (name, step, value)
        for name, metric in metrics.items()
        for step, value in zip(metric["steps"], metric["values"], strict=True)
        if not name.startswith("system/")
    ]


def of_table(table: pd.DataFrame) -> Points:
    return list(zip(table["phase"] + "/" + table["name"], table["step"].tolist(), table["value"].tolist(), strict=True))


def of_mlflow(folder: Path) -> Points:
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    (run,) = client.search_runs(["1"], f"tags.`assay.run` = '{folder.name}'")
    return [
        (name, point.step, point.value if abs(point.value) < LARGEST else math.inf)
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
        if not name.startswith("system/")
    ]


def of_wandb(folder: Path) -> Points:
    found = in_wandb.shown(SimpleNamespace(folder=folder))
    return [(name, step, float(value)) for name, step, _, value in found if not name.startswith("system/")]


def of_console(folder: Path) -> Points:
    lines = [json.loads(line) for line in (folder / "printed").read_text().splitlines()]
    return [
        (f"{line['phase']}/{name}", line["step"], float(value))
        for line in lines
        for name, value in line.get("values", {}).items()
    ]


@dataclass(frozen=True)
class Far:
    """How to read what a logger has written."""

    read: Callable[[Path], Points]
    args: dict[str, Any] = field(default_factory=dict)
    is_alone: bool = False
    """A process holds one of them: its own tests kill it, here it starts again."""


FAR = {
    "CSVLogger": Far(lambda folder: of_table(pd.read_csv(folder / "tables" / "measurements.csv"))),
    "ConsoleLogger": Far(of_console, {"form": "json", "phases": ["batch"]}),
    "MLflowLogger": Far(of_mlflow),
    "ParquetLogger": Far(lambda folder: of_table(pd.read_parquet(folder / "tables" / "measurements.parquet"))),
    "SacredLogger": Far(of_sacred),
    "TensorBoardLogger": Far(of_tensorboard),
    "WandbLogger": Far(of_wandb, is_alone=True),
}
# Those that cannot do without a server have the same in files of their own.
SERVED = {"ElasticLogger"}

# Of SQLAlchemy, about MLflow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
every = pytest.mark.parametrize("name", FAR)


class Courier:
    """The calls of the courier, and a new logger wherever it may have been killed."""

    def __init__(self, run: Any, name: str) -> None:
        self.run, self.name = run, name
        self.delivered, self.sampled = -1, -1
        self.logger: Any = None
        self.start()

    def start(self) -> BaseLogger:
        # As the courier of a training has it; closing the logger closes it.
        descriptor = os.open(self.run.folder / "printed", os.O_WRONLY | os.O_APPEND)
        os.environ["ASSAY_STDOUT"] = str(descriptor)
        made = self.logger if FAR[self.name].is_alone else None
        made = made or find(LOGGERS, self.name, Allowed(Path()))(**FAR[self.name].args)
        info = json.loads((self.run.folder / "config.json").read_text())
        folder = self.run.folder
        made.start(RunInfo(folder, folder.name, "digits", "resnet", info, 1.7e9, self.delivered, self.sampled))
        self.logger = made
        return made

    def log(self, first: int, last: int) -> None:
        self.logger.log([record for record in journal(self.run) if first <= record.id <= last])

    def close(self, status: str = "completed") -> None:
        self.run.status(status)
        self.logger.close(status)


def journal(run: Any) -> Sequence[Record]:
    return list(read(run.folder / JOURNAL))


def expected(run: Any) -> Points:
    return sorted((name, record.step, value) for record in journal(run) for name, value in record.scalars())


def shown(run: Any, name: str) -> Points:
    """Without what is no finite number: some have no place for these."""
    return sorted(point for point in FAR[name].read(run.folder) if math.isfinite(point[2]))


def append(run: Any, count: int, change: float = 0.0) -> None:
    """Numbers that float32 keeps exactly."""
    for _ in range(count):
        number = run.journal.next_id
        values = {"loss": 8.0 - number / 8 + change, "a rate of 1": number / 4}
        run.journal.append(phase="batch", epoch=number // 10, step=number, samples=number * 4, values=values)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables: making them takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def run(make_run: Callable[..., Any], empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = make_run()
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):  # what the logger sets itself is taken back
        monkeypatch.setenv(variable, "true")
    shutil.copy(empty, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)  # MLflow's artifacts are relative to it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (made.folder / "printed").touch()
    monkeypatch.setenv("ASSAY_STDOUT", "")
    yield made
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def test_every_logger_of_the_table_is_here() -> None:
    assert {*FAR, *SERVED} == set(LOGGERS.table)


@every
def test_every_value_arrives_once(run: Any, name: str) -> None:
    append(run, 30)
    courier = Courier(run, name)
    for first in (0, 10, 20):
        courier.log(first, first + 9)
    courier.close()
    assert shown(run, name) == expected(run)


@every
def test_what_comes_twice_is_there_once(run: Any, name: str) -> None:
    append(run, 30)
    courier = Courier(run, name)
    for first in (0, 10, 20):
        courier.log(first, first + 9)
        courier.log(first, first + 9)
    courier.log(15, 29)
    courier.close()
    assert shown(run, name) == expected(run)


@every
def test_a_courier_killed_between_any_two_calls_costs_nothing(run: Any, name: str) -> None:
    append(run, 30)
    courier = Courier(run, name)
    for first in (0, 10, 20):
        courier.log(first, first + 9)
        courier.start()  # killed before it could note that these were delivered
        courier.log(first, first + 9)
        courier.delivered = first + 9
        courier.start()
    courier.close()
    courier.start().close("completed")
    assert shown(run, name) == expected(run)


@every
def test_after_a_resume_only_what_was_measured_then_counts(run: Any, name: str) -> None:
    append(run, 30)
    courier = Courier(run, name)
    courier.log(0, 29)
    courier.close("failed")
    before = shown(run, name)
    lines = (run.folder / JOURNAL).read_bytes().splitlines(keepends=True)
    run.journal.close()
    (run.folder / JOURNAL).write_bytes(b"".join(lines[:10]))
    run.journal = type(run.journal)(run.folder / JOURNAL, 10)
    append(run, 30, change=0.5)
    run.status("running")
    courier.delivered = 9
    courier.start()
    courier.log(10, 39)
    courier.close()
    if name == "ConsoleLogger":  # what is printed cannot be taken back
        assert shown(run, name) == sorted([*before, *(point for point in expected(run) if point[1] >= 10)])
    else:
        assert shown(run, name) == expected(run)


@every
def test_numbers_that_are_not_finite_are_accepted(run: Any, name: str) -> None:
    for value in (1.0, math.nan, math.inf, -math.inf, 2.0):
        run.append(1, loss=value)
    courier = Courier(run, name)
    courier.log(0, 4)
    courier.close()
    losses = [point for point in shown(run, name) if point[0] == "batch/loss"]
    assert losses == [("batch/loss", 0, 1.0), ("batch/loss", 4, 2.0)]


@every
def test_a_picture_that_is_gone_does_not_hold_up_the_numbers(run: Any, name: str) -> None:
    media = {"grid": {"kind": "image", "path": "media/gone.png"}, "shape": {"kind": "hologram", "path": "media"}}
    run.journal.append(phase="batch", epoch=0, step=3, samples=9, values={"loss": 0.5}, media=media)
    courier = Courier(run, name)
    courier.log(0, 0)
    courier.close()
    assert shown(run, name) == [("batch/loss", 3, 0.5)]


@every
def test_a_logger_may_be_closed_twice_and_started_again(run: Any, name: str) -> None:
    append(run, 20)
    courier = Courier(run, name)
    courier.log(0, 9)
    courier.logger.close("running")
    courier.delivered = 9
    courier.start()
    courier.log(10, 19)
    courier.close("failed")
    courier.delivered = 19
    courier.start()
    courier.close("failed")
    assert shown(run, name) == expected(run)


@every
def test_files_samples_and_heartbeats_may_be_repeated(run: Any, name: str) -> None:
    append(run, 10)
    (run.folder / SYSTEM).write_text('{"time": 1.0, "machine": {"cpu_percent": 5.0, "gpus": []}}\n' * 5)
    (run.folder / "code").mkdir()
    (run.folder / "code" / "net.py").write_text("x = 1\n")
    courier = Courier(run, name)
    courier.log(0, 9)
    samples = read_samples(run.folder / SYSTEM)
    for _ in range(2):
        courier.logger.system(samples)
        courier.logger.beat()
        for file in ("config.json", "transforms.json", "code/net.py"):
            courier.logger.file(run.folder / file, file)
    courier.close()
    assert shown(run, name) == expected(run)


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("name", ["CSVLogger", "MLflowLogger", "ParquetLogger", "SacredLogger", "TensorBoardLogger"])
def test_what_a_resume_has_not_measured_again_yet_is_not_lost(
    run: Any, name: str, is_killed: bool, begin: Callable[..., Any]
) -> None:
    """The journal is shorter than what was delivered while a new courier starts, and files have changed."""
    run.loggers = [{"type": name, "args": FAR[name].args}]
    run.write("config.json", {"project": "digits", "name": "resnet", "loggers": run.loggers})
    run.write("environment.json", {"hostname": "a"})

    def delivered(last: int) -> None:
        live = begin(run)
        run.wait_until(lambda: live.delivery.path.exists() and run.cursor(name)["id"] == last)
        live.stop.set()
        live.thread.join(30)

    append(run, 9)
    offset = run.journal.offset
    append(run, 2)
    delivered(10)
    killed = run.cursor(name)
    append(run, 10)
    delivered(20)
    if is_killed:  # after the far end took the last ten, and before that was saved
        run.write(f"courier/{name}.json", killed)
    before = run.cursor(name)["files"]["environment.json"]
    run.write("environment.json", {"hostname": "b"})
    run.journal.close()
    cut(run.folder, offset, 9)
    live = begin(run)
    run.wait_until(lambda: run.cursor(name)["files"]["environment.json"] != before)
    run.journal = Journal(run.folder / JOURNAL)
    append(run, 12)
    run.wait_until(lambda: run.cursor(name)["id"] == 20)
    run.status("completed")
    live.end("completed")
    assert shown(run, name) == expected(run)
