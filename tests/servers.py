"""Real servers for tests, each a process of its own on a loopback port, which can be killed and come back as it was."""

from __future__ import annotations

import importlib.resources
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["Server", "elastic_server", "free_port", "mlflow_server", "mongo_server"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server that is up when `start` returns; the port and the data stay over `kill` and `stop`.

    Args:
        command: the program and its arguments.
        port: on which it listens.
        answers: raises while it does not answer yet.
        log: the file that it writes to.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        answers: Callable[[int], object],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command, self.port, self.answers, self.log = list(command), port, answers, log
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 60.0) -> Server:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                restore_signals=False,  # SIGXFSZ is ignored, as here: what `fill` refuses is an error, not the end
            )
        until = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with {self.process.returncode}: {self._said()}")
            try:
                self.answers(self.port)
            except Exception as error:
                if time.monotonic() > until:
                    self.kill()
                    raise TimeoutError(f"{self.command[0]} does not answer ({error}): {self._said()}") from error
                time.sleep(0.05)
            else:
                return self

    def kill(self) -> None:
        """SIGKILL, to all of its processes: a crash."""
        self._signal(signal.SIGKILL)

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM: it ends in its own way."""
        self._signal(signal.SIGTERM, seconds)

    def freeze(self) -> None:
        """It accepts connections, as the kernel does it, and never answers."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        os.killpg(self.process.pid, signal.SIGCONT)

    def fill(self) -> None:
        """No file of it grows any more, as on a full disk."""
        self._limit(4096)

    def free(self) -> None:
        """There is room again."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        assert self.process
        root = psutil.Process(self.process.pid)
        for process in (root, *root.children(recursive=True)):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def _signal(self, number: int, seconds: float = 20.0) -> None:
        if self.process is None:
            return
        for sign in (number, signal.SIGCONT):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def mongo_server(folder: Path, port: int | None = None) -> Server:
    """The MongoDB protocol by SecantusDB; it keeps what it acknowledged, over a SIGKILL too."""
    port = port or free_port()
    program = str(Path(sys.executable).with_name("secantusd-py"))
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "mongo")]
    command += ["--standalone", "--sync-on-commit", "--cache-size", "64M", "--log-level", "WARNING"]
    return Server(command, port, _ping_mongo, folder / "mongo.log")


def elastic_server(folder: Path, port: int | None = None) -> Server:
    """The Elasticsearch protocol by noida-db; it keeps what it acknowledged over a SIGTERM only."""
    port = port or free_port()
    program = Path(str(importlib.resources.files("noida_db") / "noida-db"))
    program.chmod(0o755)
    command = [str(program), "start", "--data-dir", str(folder / "elastic"), "--host", "127.0.0.1"]
    command += ["--only", "elasticsearch", "--elasticsearch-port", str(port)]
    return Server(command, port, _get, folder / "elastic.log")


def mlflow_server(folder: Path, port: int | None = None) -> Server:
    """MLflow's own server on SQLite."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    return Server(command, port, lambda port: _get(port, "health"), folder / "mlflow.log", environment)


def _ping_mongo(port: int) -> None:
    import pymongo

    with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=300) as client:
        client.admin.command("ping")


def _get(port: int, path: str = "") -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2).read()
