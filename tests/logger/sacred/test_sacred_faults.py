from __future__ import annotations

import contextlib
import gzip
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
from mongo_runs import CREATED, artifact, journalled, plotted, records, run_info

from assay.logger.sacred import client as mongo_client
from assay.logger.sacred.logger import SacredLogger
from assay.store.journal import JOURNAL
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
    real = mongo_client.MongoClient
    asked: dict[str, Any] = {}

    def client(url: str, **options: Any) -> Any:
        asked.update(options)
        return real(url, **options | {"socketTimeoutMS": 300, "serverSelectionTimeoutMS": 300, "connectTimeoutMS": 300})

    monkeypatch.setattr(mongo_client, "MongoClient", client)
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
        4000,
        5000,
    )
    assert (asked["w"], asked["journal"]) == ("majority", True)


def test_a_check_says_in_one_line_that_no_server_is_there() -> None:
    with pytest.raises(ConnectionError, match=r"^MongoDB cannot be used: .*refused$"):
        SacredLogger(f"mongodb://127.0.0.1:{free_port()}").reach()
    SacredLogger().reach()


def test_credentials_are_in_neither_the_folder_nor_the_database(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "correct-horse-battery"
    server = mongo_server(tmp_path).start()
    with pymongo.MongoClient("127.0.0.1", server.port) as client:
        client.admin.command("createUser", "trainer", pwd=password, roles=["root"])
    server.stop()
    server.command.append("--auth")
    server.start()
    address = f"mongodb://trainer:{password}@127.0.0.1:{server.port}/?authSource=admin"
    try:
        run = make_run({"type": "SacredLogger", "args": {"mongo_url": "${env:MONGO_URL}"}})
        run.append(20)
        run.write("status.json", {"state": "completed", "created": CREATED, "updated": CREATED + 9})
        command = [sys.executable, "-m", "assay.logger.courier", str(run.folder), "--deadline", "60"]
        monkeypatch.setenv("MONGO_URL", address)
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        with pytest.raises(ConnectionError) as refused:
            SacredLogger(address.replace("horse", "donkey")).reach()
        with pymongo.MongoClient(address) as client:
            base = client.sacred
            assert plotted(base) == journalled(run)
            kept = [entry for name in base.list_collection_names() for entry in base[name].find()]
        everything = [said, str(refused.value).encode(), repr(kept).encode()]
        everything += [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
        for text in everything:
            assert b"horse" not in text
            assert b"donkey" not in text
    finally:
        server.kill()


@pytest.mark.slow
def test_a_million_points_arrive_in_little_memory(make_run: Any, tmp_path: Path) -> None:
    server = mongo_server(tmp_path).start()
    url = f"mongodb://127.0.0.1:{server.port}"
    run = make_run({"type": "SacredLogger", "args": {"mongo_url": url}})
    run.write("status.json", {"state": "completed", "created": CREATED, "updated": CREATED + 9})
    for start in range(0, 1_000_000, 10_000):
        lines = [
            f'{{"id":{i},"time":{CREATED + i / 100},"phase":"batch","epoch":0,"step":{i},"samples":{i},'
            f'"values":{{"loss":{1 / (i + 1)},"rate":0.1}}}}\n'
            for i in range(start, start + 10_000)
        ]
        run.journal.write("".join(lines).encode())
    command = [sys.executable, "-m", "assay.logger.courier", str(run.folder), "--deadline", "120"]
    try:
        courier = psutil.Popen(command, stdout=subprocess.DEVNULL)
        largest = 0
        while courier.poll() is None:
            with contextlib.suppress(psutil.Error):
                largest = max(largest, courier.memory_info().rss)
            time.sleep(0.05)
        assert courier.returncode == 0
        assert 0 < largest < 300 << 20
        with pymongo.MongoClient(url) as client:
            expected = {name: points[::64] for name, points in journalled(run).items()}
            assert plotted(client.sacred) == expected
            assert gzip.decompress(artifact(client.sacred, "journal.jsonl.gz")) == (run.folder / JOURNAL).read_bytes()
    finally:
        server.kill()
