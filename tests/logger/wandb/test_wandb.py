from __future__ import annotations

import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import wandb
from in_wandb import folder_of, journalled, of_type, shown
from PIL import Image

from assay.logger.courier.launch import start
from assay.logger.wandb import logger as module
from assay.logger.wandb.form import coarser
from assay.logger.wandb.logger import WandbLogger
from assay.store.journal import JOURNAL, Journal, cut
from assay.store.samples import SYSTEM, read_samples


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a logger puts into the environment does not reach the next test, and no account of this machine it."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    module._ours.clear()
    yield
    wandb.teardown()


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("WandbLogger")


def _open(run: Any, delivered: int = -1, sampled: int = -1, **arguments: Any) -> WandbLogger:
    logger = WandbLogger(**arguments)
    logger.start(run.info(delivered, sampled))
    return logger


def test_every_scalar_of_the_journal_is_there_once_at_its_step_and_time(run: Any) -> None:
    run.append(300)
    run.journal.append(
        phase="validation", epoch=1, step=7, samples=9, values={"a": math.nan, "b": math.inf, "c": -math.inf}
    )
    run.journal.append(phase="test", epoch=1, step=7, samples=9, values={"a": 1e30, "b": 0.0}, time=12.5)
    logger = _open(run)
    logger.log(run.records()[:3])
    logger.log(run.records()[3:])
    logger.log(run.records()[200:])
    logger.close("completed")
    assert shown(run) == journalled(run.folder)
    assert len(shown(run)) == 605
    assert ("test/a", 7, 12.5, "1e+30") in shown(run)


def test_whoever_starts_again_writes_all_that_was_delivered_anew(run: Any) -> None:
    run.append(10)
    (run.folder / SYSTEM).write_text('{"time": 1700000001.5, "machine": {"cpu_percent": 3}}\n' * 3)
    samples = read_samples(run.folder / SYSTEM)
    logger = _open(run)
    logger.log(run.records()[:7])
    logger.system(samples[:2])
    logger._run.finish()  # W&B lets no two in one process write the same run
    again = _open(run, delivered=4, sampled=samples[0].id)
    again.log(run.records()[5:])
    again.system(samples[1:])
    again.close("completed")
    assert shown(run) == journalled(run.folder)
    assert len(of_type(run, "stats")) == 3


def test_the_same_logger_that_starts_again_does_so_too(run: Any) -> None:
    run.append(10)
    logger = _open(run)
    logger.log(run.records()[:7])
    logger.start(run.info(delivered=4))
    logger.log(run.records()[5:])
    logger.close("interrupted")
    assert shown(run) == journalled(run.folder)
    assert of_type(run, "exit")[0]["exit_code"] == 255


@pytest.mark.parametrize("new", [0, 3])
def test_after_a_cut_only_what_the_journal_now_holds_is_shown(run: Any, new: int) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    first = _open(run)
    first.log(run.records())
    first.close("interrupted")
    cut(run.folder, offset, 5)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(new, loss=7.0)
    logger = _open(run, delivered=4)
    if new:
        logger.log(run.records()[5:])
    logger.close("completed")
    assert shown(run) == journalled(run.folder)


def test_what_is_whole_is_left_as_it_is(run: Any) -> None:
    run.append(5)
    logger = _open(run)
    logger.log(run.records())
    logger.close("completed")
    before = folder_of(run).stat().st_mtime_ns
    _open(run, delivered=4).close("completed")
    assert folder_of(run).stat().st_mtime_ns == before


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("interrupted", 255), ("failed", 1), ("died", 1)])
def test_the_exit_code_tells_how_the_run_ended(run: Any, status: str, code: int) -> None:
    run.write("status.json", {"state": status, "values": {"best": {"validation/loss": 0.25}}})
    _open(run).close(status)
    assert of_type(run, "exit")[0].get("exit_code", 0) == code
    assert any("best/validation/loss" in one.get("update", {}) for one in of_type(run, "summary"))


def test_the_configuration_the_files_and_the_code_are_where_users_of_wandb_look_for_them(run: Any) -> None:
    run.write("config.json", {"optimizer": {"args": {"lr": 0.05}}, "metrics": [{"type": "F1"}], "none": None})
    (run.folder / "code" / "mylab").mkdir(parents=True)
    (run.folder / "code" / "mylab" / "m.py").write_text("x = 1\n")
    (run.folder / "code" / "uncommitted.diff").write_text("+ x\n")
    logger = _open(run, entity="us", group="g", tags=["a", "b"])
    logger.file(run.folder / "config.json", "config.json")
    logger.file(run.folder / "code" / "mylab" / "m.py", "code/mylab/m.py")
    (run.folder / "output.log").write_text("epoch 0\n")
    logger.file(run.folder / "output.log", "output.log")
    (run.folder / "output.log").unlink()
    (run.folder / "output.log").write_text("epoch 0\nepoch 1\n")
    logger.file(run.folder / "output.log", "output.log")
    logger.close("completed")
    (told,) = of_type(run, "run")
    update = told["config"]["update"]
    assert (update["optimizer"], update["metrics"]) == ({"args": {"lr": 0.05}}, [{"type": "F1"}])
    assert (told["entity"], told["project"], told["run_group"], told["tags"]) == ("us", "digits", "g", ["a", "b"])
    assert told["run_id"] == told["display_name"] == run.folder.name
    files = folder_of(run) / "files"
    assert (files / "output.log").read_text() == "epoch 0\nepoch 1\n"
    assert json.loads((files / "config.json").read_text())["none"] is None
    assert not (files / "requirements.txt").exists()
    (code,) = of_type(run, "artifact")
    assert code["type"] == "code"
    assert [part["path"] for part in code["manifest"]["contents"]] == ["mylab/m.py", "uncommitted.diff"]
    for part in code["manifest"]["contents"]:
        assert Path(part["local_path"]).is_relative_to(run.folder)


def test_pictures_matrices_and_histograms_are_shown_and_a_missing_picture_holds_nothing_up(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(stream, "PNG")
    (run.folder / "media" / "digits.png").write_bytes(stream.getvalue())
    (run.folder / "media" / "broken.png").write_bytes(b"no picture")
    run.write("media/matrix.json", {"labels": ["a", "b"], "values": [[3, 1], [0, 4]]})
    run.write("media/weights.json", {"fc.weight": {"edges": [0, 0.5, 1], "counts": [4, 2]}})
    media = {
        "digits": {"kind": "image", "path": "media/digits.png"},
        "broken": {"kind": "image", "path": "media/broken.png"},
        "gone": {"kind": "image", "path": "media/gone.png"},
        "confusion": {"kind": "matrix", "path": "media/matrix.json"},
        "weights": {"kind": "histograms", "path": "media/weights.json"},
        "note": {"kind": "text", "path": "media/note.md"},
        "table": {"kind": "file", "path": "media/table.csv"},
        "other": {"kind": "hologram", "path": "media/note.md"},
    }
    (run.folder / "media" / "note.md").write_text("a < b")
    (run.folder / "media" / "table.csv").write_text("a,b\n")
    run.journal.append(phase="validation", epoch=0, step=3, samples=9, values={"loss": 1.0}, media=media)
    logger = _open(run)
    logger.log(run.records())
    logger.close("completed")
    (row,) = of_type(run, "history")
    item = row["item"]
    picture = {key.rpartition(".")[2]: value for key, value in item.items() if key.startswith("validation/digits.")}
    assert (picture["_type"], picture["width"], picture["height"]) == ("image-file", 40, 20)
    assert (folder_of(run) / "files" / picture["path"]).is_file()
    assert item["validation/confusion._type"] == "image-file"
    assert item["validation/confusion_chart_table.nrows"] == 4
    assert item["validation/weights/fc.weight._type"] == "histogram"
    assert item["validation/weights/fc.weight.bins"] == [0, 0.5, 1]
    assert item["validation/weights/fc.weight.values"] == [4, 2]
    assert (folder_of(run) / "files" / item["validation/note.path"]).read_text() == "<pre>a &lt; b</pre>"
    assert (folder_of(run) / "files" / "media" / "table.csv").read_text() == "a,b\n"
    assert item["validation/loss"] == 1.0
    assert sum("no picture for" in record.message for record in caplog.records) == 3
    assert (run.folder / "media" / "digits.png").read_bytes() == stream.getvalue()


def test_the_machine_is_shown_at_the_times_of_its_samples(run: Any) -> None:
    (run.folder / SYSTEM).write_text('{"time": 1700000001.5, "machine": {"cpu_percent_by_core": [1.0, 2.0]}}\n')
    logger = _open(run)
    logger.system(read_samples(run.folder / SYSTEM))
    logger.close("completed")
    (stats,) = of_type(run, "stats")
    assert stats["item"] == {"machine.cpu_percent_by_core.0": 1, "machine.cpu_percent_by_core.1": 2}
    assert datetime.fromisoformat(stats["timestamp"]).timestamp() == 1700000001.5
    quiet = WandbLogger(system=False)
    quiet.start(run.info())
    quiet.system(read_samples(run.folder / SYSTEM))
    assert quiet._run is None


def test_nothing_is_written_beside_the_run_folder(run: Any, tmp_path: Path) -> None:
    before = {path for path in tmp_path.iterdir() if path != run.folder}
    (run.folder / "code").mkdir()
    (run.folder / "code" / "m.py").write_text("x = 1\n")
    logger = _open(run)
    logger.file(run.folder / "code" / "m.py", "code/m.py")
    logger.close("completed")
    assert {path for path in tmp_path.iterdir() if path != run.folder} == before


def test_a_courier_that_is_killed_again_and_again_delivers_every_point_once_and_leaves_no_process(run: Any) -> None:
    run.append(2500)
    run.hold()
    for until in (0, 900, 1900):
        process = start(run.folder, run.allowed, deadline=60)
        path = run.folder / "courier" / "WandbLogger.json"
        run.wait_until(lambda until=until, path=path: path.exists() and run.cursor("WandbLogger")["id"] >= until, 60)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    process = start(run.folder, run.allowed, deadline=60)
    run.append(100)
    run.status("completed")
    run.release()
    assert process.wait(100) == 0, (run.folder / "run.log").read_text()
    assert shown(run) == journalled(run.folder)
    assert len(of_type(run, "exit")) == 1


def test_wandbs_own_process_may_be_killed_too(run: Any) -> None:
    run.append(500)
    run.hold()
    process = start(run.folder, run.allowed, deadline=60)
    try:
        path = run.folder / "courier" / "WandbLogger.json"
        run.wait_until(lambda: path.exists() and run.cursor("WandbLogger")["id"] >= 499, 60)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        run.append(500)
        run.status("completed")
        run.release()
        assert process.wait(100) == 0, (run.folder / "run.log").read_text()
    finally:
        process.kill()
        process.wait()
    assert shown(run) == journalled(run.folder)


def test_without_a_key_online_says_what_to_do(run: Any) -> None:
    run.append(1)
    logger = _open(run, mode="online")
    for call in (logger.reach, lambda: logger.log(run.records())):
        with pytest.raises(RuntimeError, match="set WANDB_API_KEY, run `wandb login`, or take `mode: offline`"):
            call()


def test_only_a_server_that_is_there_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        WandbLogger(mode="online", api_key="0" * 40, base_url=f"http://127.0.0.1:{port}").reach()
    with pytest.raises(OSError, match="refused"):
        WandbLogger(mode="online", api_key="0" * 40, base_url=f"http://127.0.0.1:{port}").reach()
    WandbLogger().reach()


def test_a_missing_package_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"pip install 'assay\[wandb\]'"):
        WandbLogger()


def test_a_fine_histogram_keeps_its_sum_and_its_borders() -> None:
    counts, edges = coarser([1] * 1300, [index / 1300 for index in range(1301)])
    assert (len(counts), sum(counts), edges[0], edges[-1]) == (434, 1300, 0.0, 1.0)
    assert len(edges) == len(counts) + 1


def test_the_list_of_loggers_is_made_without_importing_wandb() -> None:
    code = (
        "import sys, assay.logger.wandb.logger, assay.logger.mlflow.logger;"
        "print({'wandb', 'mlflow'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
