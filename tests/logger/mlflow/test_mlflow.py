from __future__ import annotations

import io
import json
import logging
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from in_mlflow import artifacts, content, journalled, runs, shown
from PIL import Image

from assay.logger.base import NotTaken, RunInfo
from assay.logger.mlflow import logger as module
from assay.logger.mlflow.logger import MLflowLogger
from assay.store.journal import JOURNAL, Journal, cut
from assay.store.samples import SYSTEM, read_samples

# Of SQLAlchemy, about MLflow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables: making them takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a logger puts into the environment does not reach the next test."""
    for name in (*module._DEFAULTS, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("MLflowLogger")


@pytest.fixture
def uri(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a database of its own, which is what the loggers of the test write to."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def _open(run: Any, delivered: int = -1, sampled: int = -1, **arguments: Any) -> MLflowLogger:
    logger = MLflowLogger(**arguments)
    logger.start(run.info(delivered, sampled))
    return logger


def test_every_scalar_of_the_journal_is_there_once_at_its_step_and_time(run: Any, uri: str) -> None:
    run.append(600)
    run.journal.append(
        phase="validation", epoch=1, step=7, samples=9, values={"a": math.nan, "b": math.inf, "c": -math.inf}
    )
    run.journal.append(phase="test", epoch=1, step=7, samples=9, values={"a": 1e30, "top@5": 0.0}, time=12.5)
    logger = _open(run)
    logger.log(run.records()[:3])
    logger.log(run.records()[3:])
    assert shown(uri, run) == journalled(run.folder)
    assert len(shown(uri, run)) == 1205
    assert ("test/a", 7, 12500, "1e+30") in shown(uri, run)


def test_records_that_come_again_are_there_once(run: Any, uri: str) -> None:
    run.append(10)
    run.journal.append(phase="test", epoch=1, step=7, samples=9, values={"a": math.nan, "b": math.inf})
    logger = _open(run)
    for start in (0, 4, 9):
        logger.log(run.records()[start:])
    assert shown(uri, run) == journalled(run.folder)


def test_without_an_address_the_database_of_all_runs_stands_in_their_folder(run: Any, empty: Path) -> None:
    folder = run.folder.parent / "saved" / "digits" / "resnet-1"
    shutil.copytree(run.folder, folder)
    shutil.copy(empty, folder.parents[1] / "mlflow.db")
    logger = MLflowLogger()
    logger.start(RunInfo(folder, folder.name, "digits", "resnet", {}))
    logger.file(folder / "config.json", "config.json")
    found = mlflow.MlflowClient(f"sqlite:///{folder.parents[1] / 'mlflow.db'}").search_runs([logger._experiment])
    assert [one.info.run_name for one in found] == ["resnet-1"]
    assert (folder.parents[1] / "mlflow-files").is_dir()


def test_a_run_that_is_killed_after_or_before_any_call_to_mlflow_is_there_once_afterwards(run: Any, uri: str) -> None:
    class Killed(BaseException):
        pass

    class Client:
        """MLflow's own, until its last call."""

        def __init__(self, calls: float, done: bool) -> None:
            self.calls, self.done, self.client = calls, done, mlflow.MlflowClient(uri)

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                self.calls -= 1
                if self.calls < 0 and not self.done:
                    raise Killed
                result = getattr(self.client, name)(*arguments, **named)
                if self.calls < 0:
                    raise Killed
                return result

            return call

    def deliver(calls: float = math.inf, done: bool = False) -> None:
        logger = MLflowLogger()
        logger._client = Client(calls, done)
        logger.start(run.info())
        for name in ("config.json", "transforms.json"):
            logger.file(run.folder / name, name)
        logger.log(run.records()[:5])
        logger.log(run.records()[5:])
        logger.close("completed")

    run.append(10)
    killed = 0
    for number in range(40):
        try:
            deliver(number // 2, done=bool(number % 2))
        except Killed:
            killed += 1
    assert killed >= 14
    deliver()
    assert shown(uri, run) == journalled(run.folder)
    assert artifacts(uri, run) == ["config.json", "transforms.json"]
    assert runs(uri, run)[0].info.status == "FINISHED"


def test_of_two_runs_that_a_lost_answer_made_the_one_that_got_nothing_goes(run: Any, uri: str) -> None:
    run.append(4)
    logger = _open(run)
    client = mlflow.MlflowClient(uri)
    client.create_run(logger._experiment, tags={"assay.run": run.folder.name})
    logger.log(run.records())
    assert len(runs(uri, run)) == 2
    logger.close("completed")
    assert shown(uri, run) == journalled(run.folder)
    client.create_run(logger._experiment, tags={"assay.run": run.folder.name})
    _open(run, delivered=3)
    assert shown(uri, run) == journalled(run.folder)


@pytest.mark.parametrize("new", [0, 2, 9])
def test_after_a_cut_a_new_run_has_what_the_journal_now_holds(run: Any, uri: str, new: int) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    _open(run).log(run.records())
    cut(run.folder, offset, 5)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(new, loss=7.0)
    logger = _open(run, delivered=4)
    if new:
        logger.log(run.records()[5:])
    assert shown(uri, run) == journalled(run.folder)
    assert len(runs(uri, run, deleted=True)) == 1
    assert "config.json" in artifacts(uri, run)


def test_what_was_delivered_and_not_confirmed_makes_no_new_run(run: Any, uri: str) -> None:
    run.append(10)
    _open(run).log(run.records())
    logger = _open(run, delivered=4)
    logger.log(run.records()[5:])
    assert shown(uri, run) == journalled(run.folder)
    assert not runs(uri, run, deleted=True)


def test_a_database_that_was_lost_gets_everything_again(run: Any, uri: str, empty: Path) -> None:
    run.append(6)
    (run.folder / SYSTEM).write_text('{"time": 1700000001.5, "machine": {"cpu_percent": 3}}\n' * 3)
    shutil.copy(empty, run.folder.parent / "other.db")
    other = f"sqlite:///{run.folder.parent / 'other.db'}"
    samples = read_samples(run.folder / SYSTEM)
    _open(run, delivered=5, sampled=samples[-1].id, tracking_uri=other)
    assert shown(other, run) == journalled(run.folder)
    assert artifacts(other, run) == ["config.json", "status.json", "transforms.json"]
    assert "system/machine/cpu_percent" in runs(other, run)[0].data.metrics


def test_a_run_that_somebody_deletes_in_mlflow_comes_back_as_a_new_one(run: Any, uri: str) -> None:
    run.append(6)
    logger = _open(run)
    logger.log(run.records()[:3])
    mlflow.MlflowClient(uri).delete_run(logger._id)
    with pytest.raises(RuntimeError, match="deleted in MLflow"):
        logger.log(run.records()[3:])
    logger.start(run.info(delivered=2))
    logger.log(run.records()[3:])
    assert shown(uri, run) == journalled(run.folder)


@pytest.mark.parametrize(
    ("status", "theirs"),
    [
        ("completed", "FINISHED"),
        ("interrupted", "KILLED"),
        ("failed", "FAILED"),
        ("died", "FAILED"),
        ("running", "RUNNING"),
    ],
)
def test_the_status_and_the_times_are_those_of_the_run(run: Any, uri: str, status: str, theirs: str) -> None:
    run.write("status.json", {"state": status, "updated": 1700000100.25, "reason": "because"})
    logger = _open(run)
    logger.close(status)
    (found,) = runs(uri, run)
    assert (found.info.status, found.info.start_time) == (theirs, 1700000000500)
    assert found.info.end_time == (None if status == "running" else 1700000100250)
    if status != "running":
        assert found.data.tags["assay.reason"] == "because"
    run.status("running")
    logger.start(run.info())
    assert runs(uri, run)[0].info.status == "RUNNING"


def test_the_configuration_is_shown_as_parameters_and_the_environment_as_tags(run: Any, uri: str) -> None:
    config = {
        "name": "resnet",
        "optimizer": {"type": "SGD", "args": {"lr": 0.05, "nesterov": True, "none": None, "long": "x" * 9000}},
        "metrics": [{"type": "Accuracy"}],
        "wide": {f"key@{number}": number for number in range(150)},
        "empty": "",
    }
    run.write("config.json", config)
    run.write("environment.json", {"command": ["train.py", "-x"], "git": {"commit": "abc", "branch": "main"}})
    _open(run).file(run.folder / "environment.json", "environment.json")
    (found,) = runs(uri, run)
    assert found.data.params["optimizer.args.lr"] == "0.05"
    assert found.data.params["metrics.0.type"] == "Accuracy"
    assert len(found.data.params["optimizer.args.long"]) == 6000
    assert len(found.data.params) == 157
    assert (found.data.tags["mlflow.source.name"], found.data.tags["assay.command"]) == ("train.py", "train.py -x")
    assert found.data.tags["mlflow.source.git.commit"] == "abc"
    assert found.info.run_name == run.folder.name


def test_a_value_that_a_resume_changed_is_told_once_and_shown_as_a_tag(
    run: Any, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    run.write("config.json", {"trainer": {"epochs": 3}})
    _open(run)
    run.write("config.json", {"trainer": {"epochs": 9}})
    with caplog.at_level(logging.WARNING):
        logger = _open(run)
        logger.start(run.info())
    assert [record.message for record in caplog.records if "trainer.epochs is 9 now" in record.message] != []
    assert len(caplog.records) == 1
    (found,) = runs(uri, run)
    assert (found.data.params["trainer.epochs"], found.data.tags["changed.trainer.epochs"]) == ("3", "9")


def test_files_and_code_are_artifacts_and_a_changed_file_takes_the_place_of_the_old(run: Any, uri: str) -> None:
    (run.folder / "code" / "mylab").mkdir(parents=True)
    for number in range(20):
        (run.folder / "code" / "mylab" / f"m{number}.py").write_text(f"x = {number}\n")
    logger = _open(run)
    logger.file(run.folder / "code" / "mylab" / "m3.py", "code/mylab/m3.py")
    (run.folder / "output.log").write_text("epoch 0\n")
    logger.file(run.folder / "output.log", "output.log")
    (run.folder / "output.log").write_text("epoch 0\nepoch 1\n")
    logger.file(run.folder / "output.log", "output.log")
    expected = ["output.log", *(f"code/mylab/m{number}.py" for number in range(20))]
    assert artifacts(uri, run) == sorted(expected)
    assert content(uri, run, "code/mylab/m7.py") == b"x = 7\n"
    assert content(uri, run, "output.log") == b"epoch 0\nepoch 1\n"


def test_the_best_checkpoint_is_kept_when_asked_for(run: Any, uri: str) -> None:
    (run.folder / "checkpoints" / "best").mkdir(parents=True)
    (run.folder / "checkpoints" / "best" / "model.pt").write_bytes(b"weights")
    _open(run).close("completed")
    assert "checkpoints/best/model.pt" not in artifacts(uri, run)
    _open(run, checkpoint=True).close("completed")
    assert content(uri, run, "checkpoints/best/model.pt") == b"weights"


def test_pictures_and_matrices_are_in_the_image_grid_and_numbers_in_json(
    run: Any, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(stream, "PNG")
    (run.folder / "media" / "digits.png").write_bytes(stream.getvalue())
    (run.folder / "media" / "broken.png").write_bytes(b"no picture")
    run.write("media/matrix.json", {"labels": ["a", "b"], "values": [[3, 1], [0, 4]]})
    run.write("media/weights.json", {"fc.weight": {"edges": [0, 1], "counts": [4]}})
    media = {
        "digits": {"kind": "image", "path": "media/digits.png"},
        "broken": {"kind": "image", "path": "media/broken.png"},
        "gone": {"kind": "image", "path": "media/gone.png"},
        "confusion": {"kind": "matrix", "path": "media/matrix.json"},
        "weights": {"kind": "histograms", "path": "media/weights.json"},
        "note": {"kind": "text", "path": "media/note.md"},
    }
    (run.folder / "media" / "note.md").write_text("a < b")
    run.journal.append(phase="validation", epoch=0, step=3, samples=9, values={"loss": 1.0}, media=media, time=5.25)
    logger = _open(run)
    logger.log(run.records())
    logger.log(run.records())
    images = [path for path in artifacts(uri, run) if path.startswith("images/")]
    assert len(images) == 4
    assert images[2].startswith("images/validation~digits+step+3+timestamp+5250+")
    assert [path.rpartition(".")[2] for path in images] == ["webp", "png", "webp", "png"]
    assert (
        content(uri, run, next(path for path in images if "digits" in path and path.endswith("png")))
        == stream.getvalue()
    )
    assert json.loads(content(uri, run, "media/weights.json"))["fc.weight"]["counts"] == [4]
    assert content(uri, run, "media/note.md") == b"a < b"
    assert json.loads(content(uri, run, "media/matrix.json"))["values"] == [[3, 1], [0, 4]]
    assert runs(uri, run)[0].data.tags["mlflow.loggedImages"] == "True"
    assert sum("no picture for" in record.message for record in caplog.records) == 4
    assert shown(uri, run) == journalled(run.folder)


def test_the_machine_is_shown_under_system_metrics_by_the_seconds_of_the_run(run: Any, uri: str) -> None:
    lines = [
        {"time": 1700000000.5 + 2 * number, "machine": {"cpu_percent_by_core": [1.0, number]}, "run": {"processes": 1}}
        for number in range(3)
    ]
    (run.folder / SYSTEM).write_text("".join(json.dumps(line) + "\n" for line in lines))
    samples = read_samples(run.folder / SYSTEM)
    logger = _open(run)
    logger.system(samples)
    logger.system(samples[1:])
    history = mlflow.MlflowClient(uri).get_metric_history(logger._id, "system/machine/cpu_percent_by_core/1")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (2, 1.0), (4, 2.0)]
    quiet = MLflowLogger(system=False, experiment="quiet")
    quiet.start(run.info())
    quiet.system(samples)
    assert mlflow.MlflowClient(uri).get_run(quiet._id).data.metrics == {}


def test_a_point_that_mlflow_refuses_does_not_keep_the_others_back(
    run: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append(300)
    run.journal.append(phase="test", epoch=0, step=3, samples=9, values={"top@5": 1.0, "loss": 2.0})
    run.append(300)
    monkeypatch.setattr(module, "legal", lambda name: name)
    logger = _open(run)
    with pytest.raises(NotTaken) as told:
        logger.log(run.records())
    assert told.value.reasons.keys() == {300}
    assert "top@5" in told.value.reasons[300]
    names = [point[0] for point in shown(uri, run)]
    assert (len(names), names.count("test/loss")) == (1201, 1)


def test_credentials_of_the_address_are_in_no_message(run: Any) -> None:
    logger = MLflowLogger("http://me:hunter22@127.0.0.1:9", token=None)
    with pytest.raises(mlflow.MlflowException) as told:
        logger.start(run.info())
    assert "hunter22" not in str(told.value)
    with pytest.raises(mlflow.MlflowException):
        logger.reach()
    assert module.os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter22"


def test_what_the_user_set_for_mlflow_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert MLflowLogger().uri == "http://127.0.0.1:9"
    assert module.os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert MLflowLogger("sqlite:///x.db").uri == "sqlite:///x.db"


def test_a_missing_package_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r"pip install 'assay\[mlflow\]'"):
        MLflowLogger()
