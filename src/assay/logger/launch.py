"""Starting the courier beside a training, and delivering a run without one."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from assay.config.components import Allowed, project_root
from assay.errors import ConfigError, Problem
from assay.logger.courier import Watch, lock_courier, serve
from assay.logger.cursor import Component, components, left
from assay.logger.delivery import Delivery
from assay.utils.atomic import read_json

__all__ = ["Delivered", "start", "stop", "sync", "wait"]


@dataclass(frozen=True)
class Delivered:
    """What became of one logger in a `sync`: records sent now, records still left, and why."""

    sent: int
    left: int
    error: str | None = None


def start(
    folder: Path, allowed: Allowed, *, deadline: float = 60.0, system: float | None = None
) -> subprocess.Popen[bytes]:
    """Start the courier of a run, once `run.lock` is held and status.json says that it is running.

    It has a session of its own (Ctrl-C does not reach it), no input, and writes to `run.log`.

    Args:
        allowed: where loggers of the user's own may come from.
        deadline: seconds that it goes on after the end of the run while something is not delivered.
        system: measure the machine every so many seconds into `system.jsonl`.
    """
    # -P: the folder that the user happens to be in must not shadow modules of Python's own.
    command = [sys.executable, "-P", "-m", "assay.logger.courier", str(folder.resolve())]
    command += ["--root", str(allowed.root), "--deadline", str(deadline)]
    for package in allowed.packages:
        command += ["--allow", package]
    if system:
        command += ["--system", str(system)]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )


def wait(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> dict[str, int]:
    """Wait up to `deadline` seconds for a courier to end; the records that each logger has not got.

    A courier that has not ended goes on by itself, until its own deadline.
    """
    with suppress(subprocess.TimeoutExpired):
        process.wait(deadline)
    return left(folder)


def stop(process: subprocess.Popen[bytes], folder: Path, deadline: float = 10.0) -> dict[str, int]:
    """Ask a courier to end after the batch it is at, and kill it after `deadline` seconds; as `wait`."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return left(folder)


def sync(
    folder: Path,
    logger: str | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    allowed: Allowed | None = None,
    deadline: float = 30.0,
) -> dict[str, Delivered]:
    """Deliver what is not delivered yet, here and now.

    Args:
        logger: only this one: the name or type of one of the run's loggers, or the type of any other.
        args: of a logger that the run did not have.
        deadline: seconds to go on while a logger fails.

    Raises:
        RunBusyError: a courier is at it.
        ConfigError: the folder is no run.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError.of(Problem("no run is in this folder", found=str(folder), expected="a config.json in it"))
    chosen = _chosen(components(read_json(folder / "config.json")), logger, args or {})
    allowed = allowed or Allowed(project_root())
    lock = lock_courier(folder)
    try:
        deliveries = [Delivery(folder.resolve(), component, allowed) for component in chosen]
        serve(deliveries, Watch(folder), Event(), deadline, once=True)
    finally:
        lock.release()
    rest = left(folder)
    return {
        delivery.component.name: Delivered(delivery.sent, rest.get(delivery.component.name, 0), delivery.cursor.error)
        for delivery in deliveries
    }


def _chosen(known: list[Component], logger: str | None, args: Mapping[str, Any]) -> list[Component]:
    if logger is None:
        return known
    named = [component for component in known if logger in (component.name, component.type)]
    return named or components({"loggers": [{"type": logger, "args": dict(args)}]})


def _environment() -> dict[str, str]:
    """This process's, with one thread for every numeric library, and with assay where this process has it."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    home = str(Path(__file__).parents[2])
    if home not in (*site.getsitepackages(), site.getusersitepackages()):
        paths = [home, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
