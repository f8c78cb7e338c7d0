"""Real trainings in a real Omniboard, looked at with a real browser; minutes, and what is needed is installed once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest

from browser import Browser, browser_missing
from omniboard import install, missing, omniboard_server
from servers import mongo_server

ROOT = Path(__file__).parents[3]
LOGGER = {"type": "SacredLogger", "args": {"mongo_url": "${env:MONGO_URL}", "system": True}}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("omniboard"),
    pytest.mark.skipif(bool(missing() or browser_missing()), reason=f"needs {missing() or browser_missing()}"),
]


@dataclass
class Board:
    """Omniboard with the runs: 1 completed, 2 failed, 3 interrupted, 4 alive and held by SIGSTOP."""

    folder: Path
    url: str
    base: Any
    browser: Browser
    living: subprocess.Popen[bytes]

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/sacred/api/v1/{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def show(self, run: int, tab: str) -> None:
        """Open a tab of a run's details."""
        self.browser.open(f"{self.url}/sacred")
        self.browser.click(f"//*[contains(@class,'fixedDataTableCellLayout')]//*[normalize-space(text())='{run}']")
        self.browser.click(f"//*[contains(@class,'nav')]//*[normalize-space(text())='{tab}']")

    def picture(self, name: str) -> None:
        time.sleep(1)  # until what moves has come to rest
        self.browser.picture(self.folder / f"{name}.png")


def _train(folder: Path, name: str, *settings: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), "--config", "configs/runs/default.json"]
    for setting in (f"folder={folder / 'saved'}", f"name={name}", f"loggers={json.dumps([LOGGER])}", *settings):
        command += ["--set", setting]
    with (folder / f"{name}.txt").open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


def _wait_for(condition: Any, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("omniboard")
    install()
    mongo = mongo_server(folder).start()
    url = f"mongodb://127.0.0.1:{mongo.port}"
    os.environ["MONGO_URL"] = url
    omniboard = omniboard_server(folder, f"{url}/sacred")
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(url)
    base = client.sacred
    endless = ("trainer.args.epochs=100000", "trainer.args.early_stopping=null")
    living = None
    try:
        done = _train(folder, "complete", "trainer.args.epochs=3", "logging.every=5ba", "logging.images=4")
        assert done.wait(120) == 0, (folder / "complete.txt").read_text()
        assert _train(folder, "fails", "optimizer.args.lr=1e30", "schedulers=[]").wait(120) not in (0, 2)
        stopped = _train(folder, "stopped", *endless)
        _wait_for(lambda: base.metrics.count_documents({"run_id": 3}))
        stopped.send_signal(signal.SIGINT)
        stopped.wait(60)
        living = _train(folder, "living", *endless)
        _wait_for(lambda: base.metrics.count_documents({"run_id": 4}))
        living.send_signal(signal.SIGSTOP)  # it holds its run and measures nothing more
        omniboard.start()
        with Browser(folder / "profile") as browser:
            yield Board(folder, f"http://127.0.0.1:{omniboard.port}", base, browser, living)
    finally:
        if living is not None:
            living.send_signal(signal.SIGCONT)
            living.send_signal(signal.SIGINT)
            living.wait(60)
        client.close()
        omniboard.kill()
        mongo.kill()
        os.environ.pop("MONGO_URL")


def test_the_list_shows_every_run_with_its_status(board: Board) -> None:
    board.browser.open(f"{board.url}/sacred")
    for text in ("digits/complete", "digits/fails", "digits/stopped", "digits/living", "4 experiments"):
        board.browser.wait_for_text(text)
    board.picture("runs")
    states = {run["_id"]: run["status"] for run in board.ask("Runs?select=_id,status")}
    assert states == {1: "COMPLETED", 2: "FAILED", 3: "INTERRUPTED", 4: "RUNNING"}
    for state in states.values():
        board.browser.wait_for_text(state)


def test_metrics_are_plotted(board: Board) -> None:
    board.show(1, "Metrics Plot")
    lines = board.browser.wait_for(
        "const plot = document.querySelector('.js-plotly-plot');"
        "return plot && plot.data && plot.data.length && plot.data.map(line => [line.name, line.x, line.y])"
    )
    board.picture("metrics")
    shown = {name: (steps, values) for name, steps, values in lines}
    metrics = list(board.base.metrics.find({"run_id": 1}))
    assert {"train/loss", "batch/loss", "validation/accuracy", "system/machine/cpu_percent"} <= shown.keys()
    for metric in metrics:
        assert shown[metric["name"]] == (metric["steps"], metric["values"])


@pytest.mark.parametrize(
    ("run", "tab", "texts"),
    [
        (1, "Captured Out", ["epoch   2"]),
        (1, "Source Files", ["configs/runs/default.json", "src/assay/__init__.py"]),
        (1, "Artifacts", ["config.json", "transforms.json", "journal.jsonl.gz", "media/"]),
        (1, "Config", ["optimizer", "complete"]),
        (1, "Run Info", ["assay", "metrics"]),
        (1, "Host Info", ["python_version"]),
        (1, "Meta Info", ["command", "comment"]),
        (1, "Experiment Details", ["digits/complete", "dependencies", "repositories"]),
        (2, "Fail Trace", ["the loss is nan at step 1"]),
        (2, "Captured Out", ["the loss is nan at step 1"]),
        (3, "Captured Out", ["epoch   0", "stopped by Ctrl-C"]),
        (4, "Captured Out", ["epoch   0"]),
    ],
)
def test_the_details_show_it(board: Board, run: int, tab: str, texts: list[str]) -> None:
    board.show(run, tab)
    try:
        for text in texts:
            board.browser.wait_for_text(text)
    finally:
        board.picture(f"{run}-{tab.replace(' ', '-')}")


def test_a_file_is_shown_with_its_content(board: Board) -> None:
    code = next((board.folder / "saved" / "digits").glob("complete-*")) / "code"
    kept = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
    assert {name for name, _ in board.base.runs.find_one({"_id": 1})["experiment"]["sources"]} == kept
    board.show(1, "Source Files")
    board.browser.click("//*[normalize-space(text())='configs/runs/default.json']")
    board.browser.wait_for_text('"early_stopping"')
    board.picture("source")


def test_a_living_run_that_has_nothing_to_tell_is_not_probably_dead(board: Board) -> None:
    until = time.monotonic() + 25
    while time.monotonic() < until:
        run = board.base.runs.find_one({"_id": 4})
        # Omniboard shows PROBABLY_DEAD after 120 s.
        assert time.time() - run["heartbeat"].timestamp() + time.timezone < 20
        assert run["status"] == "RUNNING"
        time.sleep(1)


def test_no_password_is_in_the_database_or_the_folder(board: Board) -> None:
    address = os.environ["MONGO_URL"]
    assert address not in str(list(board.base.runs.find()))
    for path in (board.folder / "saved").rglob("*"):
        if path.is_file():
            assert address.encode() not in path.read_bytes(), path
