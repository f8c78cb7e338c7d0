from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymongo
import pytest
from mongo_runs import CREATED, journalled, plotted, records, run_info

from assay.logger import sacred_mongo
from assay.logger.sacred import SacredLogger
from servers import free_port, mongo_server


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run()


def test_a_server_that_crashes_between_calls_costs_nothing(run: Any, tmp_path: Path) -> None:
    server = mongo_server(tmp_path).start()
    url = f"mongodb://127.0.0.1:{server.port}"
    run.append(40)
    logger = SacredLogger(url)
    try:
        logger.start(run_info(run))
        logger.log(records(run)[:20])
        server.kill()
        with pytest.raises(pymongo.errors.PyMongoError):
            logger.log(records(run)[20:])
        with pytest.raises(pymongo.errors.PyMongoError):
            logger.start(run_info(run, 19))
        server.start()
        logger.start(run_info(run, 19))
        logger.log(records(run)[20:])
        logger.close("completed")
        with pymongo.MongoClient(url) as client:
            assert plotted(client.sacred) == journalled(run)
            assert client.sacred.runs.find_one()["status"] == "COMPLETED"
    finally:
        server.kill()
        if logger.observer:
            logger.observer.close()


def test_a_courier_that_is_killed_anywhere_leaves_every_point_once(make_run: Any, tmp_path: Path) -> None:
    server = mongo_server(tmp_path).start()
    url = f"mongodb://127.0.0.1:{server.port}"
    run = make_run({"type": "SacredLogger", "args": {"mongo_url": url}})
    run.append(6000)
    run.write("status.json", {"state": "completed", "created": CREATED, "updated": CREATED + 9})
    command = [sys.executable, "-m", "assay.logger.courier", str(run.folder), "--deadline", "60"]
    try:
        with pymongo.MongoClient(url) as client:
            base = client.sacred
            assert sum(_killed(command, base.metrics, pause, run) for pause in (0.0, 0.05, 0.2))
            assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
            assert plotted(base) == journalled(run)
            assert base.runs.count_documents({}) == 1
    finally:
        server.kill()


def _killed(command: list[str], metrics: Any, pause: float, run: Any) -> bool:
    """A courier, killed `pause` seconds after it wrote something; False where it had ended by then."""
    courier = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    before = metrics.find_one({"name": "batch/loss"}, {"assay": 1})
    run.wait_until(
        lambda: courier.poll() is not None or metrics.find_one({"name": "batch/loss"}, {"assay": 1}) != before
    )
    time.sleep(pause)
    courier.kill()
    return courier.wait() == -signal.SIGKILL


def test_a_server_that_never_answers_holds_nobody_for_long(monkeypatch: Any, run: Any, tmp_path: Path) -> None:
    server = mongo_server(tmp_path).start()
    real = sacred_mongo.MongoClient
    asked: dict[str, Any] = {}

    def client(url: str, **options: Any) -> Any:
        asked.update(options)
        return real(url, **options | {"socketTimeoutMS": 300, "serverSelectionTimeoutMS": 300, "connectTimeoutMS": 300})

    monkeypatch.setattr(sacred_mongo, "MongoClient", client)
    logger = SacredLogger(f"mongodb://127.0.0.1:{server.port}")
    try:
        logger.start(run_info(run))
        server.freeze()
        with pytest.raises(pymongo.errors.PyMongoError):
            logger.beat()
        server.thaw()
        logger.start(run_info(run))
    finally:
        server.kill()
        if logger.observer:
            logger.observer.close()
    assert (asked["socketTimeoutMS"], asked["serverSelectionTimeoutMS"], asked["connectTimeoutMS"]) == (
        10000,
        6000,
        5000,
    )
    assert (asked["w"], asked["journal"]) == ("majority", True)


def test_a_check_says_in_one_line_that_no_server_is_there() -> None:
    with pytest.raises(ConnectionError, match=r"^MongoDB cannot be used: .*refused$"):
        SacredLogger(f"mongodb://127.0.0.1:{free_port()}").reach()
    SacredLogger().reach()
