"""MLflow's own server, and the courier as its own process, each killed in the middle."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from http_proxy import Proxy
from in_mlflow import journalled, runs, shown

from assay.logger.courier.launch import start
from assay.logger.mlflow.logger import MLflowLogger
from servers import Server, mlflow_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("mlflow"),  # one server for them all
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of SQLAlchemy, about MLflow
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = mlflow_server(tmp_path_factory.mktemp("mlflow")).start(120)
    yield server
    server.kill()


@pytest.fixture
def uri(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    # Of the test's own reading, and of the couriers that it starts.
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    return f"http://127.0.0.1:{server.port}"


Courier = Callable[[Any], "subprocess.Popen[bytes]"]


@pytest.fixture
def courier() -> Iterator[Courier]:
    processes: list[subprocess.Popen[bytes]] = []

    def begin(run: Any) -> subprocess.Popen[bytes]:
        processes.append(start(run.folder, run.allowed, deadline=90))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def made(make_run: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    def make(uri: str, **arguments: Any) -> Any:
        run = make_run({"type": "MLflowLogger", "args": {"tracking_uri": uri, **arguments}})
        renamed = run.folder.with_name(f"{run.folder.name}-{request.node.name[:60]}")
        run.folder.rename(renamed)
        run.folder = renamed
        (run.folder / "code").mkdir()
        for number in range(20):
            (run.folder / "code" / f"m{number}.py").write_text(f"x = {number}\n")
        run.hold()
        return run

    return make


def _end(run: Any, process: subprocess.Popen[bytes]) -> None:
    run.status("completed")
    run.release()
    assert process.wait(100) == 0, (run.folder / "run.log").read_text()


def _delivered(run: Any) -> int:
    path = run.folder / "courier" / "MLflowLogger.json"
    return int(run.cursor("MLflowLogger")["id"]) if path.exists() else -1


def _whole(uri: str, run: Any) -> None:
    assert shown(uri, run) == journalled(run.folder)
    (found,) = runs(uri, run)
    client = mlflow.MlflowClient(uri)
    assert {item.path for item in client.list_artifacts(found.info.run_id)} >= {"config.json", "transforms.json"}
    assert len(client.list_artifacts(found.info.run_id, "code")) == 20
    for number in (0, 19):
        path = client.download_artifacts(found.info.run_id, f"code/m{number}.py")
        assert Path(path).read_text() == f"x = {number}\n"
    assert found.info.status == "FINISHED"


def test_a_server_that_is_killed_and_comes_back_has_every_point_once(
    server: Server, uri: str, made: Callable[..., Any], courier: Courier
) -> None:
    run = made(uri)
    process = courier(run)
    run.append(3000)
    run.wait_until(lambda: _delivered(run) >= 999)
    server.kill()
    run.append(500)
    server.start(120)
    run.append(500)
    _end(run, process)
    _whole(uri, run)


def test_a_server_that_never_answers_and_then_does_has_one_run_and_every_point_once(
    server: Server, uri: str, made: Callable[..., Any], courier: Courier
) -> None:
    run = made(uri)
    server.freeze()
    try:
        process = courier(run)
        run.append(200)
        run.wait_until(lambda: b"failed and is tried again" in (run.folder / "run.log").read_bytes(), 60)
    finally:
        server.thaw()
    run.append(200)
    _end(run, process)
    _whole(uri, run)


def test_a_courier_that_is_killed_again_and_again_delivers_every_point_once(
    uri: str, made: Callable[..., Any], courier: Courier
) -> None:
    run = made(uri)
    run.append(6000)
    for until in (0, 1500, 3500):
        process = courier(run)
        run.wait_until(lambda until=until: _delivered(run) >= until, 60)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _delivered(run) < 5999
    _end(run, courier(run))
    _whole(uri, run)


@pytest.mark.parametrize("fault", ["500", "lost"])
def test_through_errors_and_lost_answers_every_point_comes_once(
    uri: str, made: Callable[..., Any], courier: Courier, fault: str
) -> None:
    server = int(uri.rpartition(":")[2])
    with Proxy(server, lambda number: fault if number % 2 == 0 else "") as proxy:
        run = made(proxy.url)
        process = courier(run)
        run.append(1500)
        _end(run, process)
        assert proxy.requests > 20
    _whole(uri, run)


def test_only_a_server_that_is_there_is_reached(uri: str, tmp_path: Path) -> None:
    MLflowLogger(uri).reach()
    with pytest.raises(mlflow.MlflowException):
        MLflowLogger("http://127.0.0.1:9").reach()
