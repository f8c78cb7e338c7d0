"""Starting the courier beside a training, and delivering a run without one."""

from __future__ import annotations

import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from assay.config.components import Allowed, project_root
from assay.errors import ConfigError, Problem, RunBusyError
from assay.logger.courier.backlog import Backlog, Trouble, backlogs
from assay.logger.courier.cursor import Component, Cursor, components, unused
from assay.logger.courier.delivery import Delivery
from assay.logger.courier.process import Watch, serve
from assay.store.lock import is_held
from assay.utils.atomic import read_json

__all__ = ["Courier", "Delivered", "start", "stop", "sync", "wait"]

_MAKE_WAY = 12.0
_SETTLED = 5.0
# Couriers that outlive the training that started them: Python warns of processes that nobody refers to.
_going_on: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Delivered:
    """What became of one logger in a `sync`: records sent now, and what is left."""

    sent: int
    backlog: Backlog


def start(
    folder: Path, allowed: Allowed, *, deadline: float = 60.0, system: float | None = None
) -> subprocess.Popen[bytes]:
    """Start the courier of a run, once `run.lock` is held and status.json says that it is running.

    It has a session of its own (Ctrl-C does not reach it), no input, and writes to `run.log`.

    Args:
        allowed: where loggers of the user's own may come from.
        deadline: seconds that it goes on after the end of the run while nothing arrives.
        system: measure the machine every so many seconds into `system.jsonl`.
    """
    _going_on[:] = [process for process in _going_on if process.poll() is None]
    # -P: the folder that the user happens to be in must not shadow modules of Python's own.
    command = [sys.executable, "-P", "-m", "assay.logger.courier", str(folder.resolve())]
    command += ["--root", str(allowed.root), "--deadline", str(deadline)]
    for package in allowed.packages:
        command += ["--allow", package]
    if system:
        command += ["--system", str(system)]
    environment, console = _environment(), _console(folder)
    if console is not None:
        environment["ASSAY_STDOUT"] = str(console)
    try:
        with (folder / "run.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                pass_fds=() if console is None else (console,),
            )
    finally:
        if console is not None:
            os.close(console)


def _console(folder: Path) -> int | None:
    """A descriptor of what this process prints to, for a logger that prints: others must not hold it open."""
    if not any(component.type == "ConsoleLogger" for component in components(read_json(folder / "config.json"))):
        return None
    try:
        return os.dup(sys.__stdout__.fileno()) if sys.__stdout__ else None
    except (OSError, ValueError):
        return None  # closed, or not a file: in a notebook, say


class Courier:
    """The courier of a run that goes on; a new one where it was killed.

    Args:
        folder: of the run.
        allowed: where loggers of the user's own may come from.
        system: measure the machine every so many seconds.
    """

    def __init__(self, folder: Path, allowed: Allowed, system: float | None = None) -> None:
        self.folder, self.allowed, self.system = folder, allowed, system
        self._trouble = Trouble(folder)
        self._process = start(folder, allowed, system=system)
        self._since = time.monotonic()

    def look(self) -> tuple[list[str], str]:
        """What is new of the loggers, and how far those are behind that are; to be asked every few seconds."""
        news, behind = self._trouble.look()
        code = self._process.poll()
        # One that ends by itself has nothing to do, or cannot do it; one that dies again and again is left alone.
        if code is not None and code < 0 and time.monotonic() - self._since > _SETTLED:
            news.append(f"warning: the courier was ended by signal {-code}; another one goes on from where it was")
            self._process = start(self.folder, self.allowed, system=self.system)
            self._since = time.monotonic()
        return news, behind

    def wait(self, deadline: float) -> dict[str, Backlog]:
        """As the function `wait`, once the run has said how it ended."""
        if self._process.poll() is not None and any(map(str, backlogs(self.folder).values())):
            self._process = start(self.folder, self.allowed)
        found = wait(self._process, self.folder, deadline)
        if self._process.poll() is None:
            _going_on.append(self._process)
        return found


def wait(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> dict[str, Backlog]:
    """Wait up to `deadline` seconds for a courier to end; what each logger has not got.

    A courier that has not ended goes on by itself, until its own deadline.
    """
    with suppress(subprocess.TimeoutExpired):
        process.wait(deadline)
    return backlogs(folder)


def stop(process: subprocess.Popen[bytes], folder: Path, deadline: float = 10.0) -> dict[str, Backlog]:
    """Ask a courier to end after the batch it is at, and kill it after `deadline` seconds; as `wait`."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return backlogs(folder)


def sync(
    folders: Sequence[Path],
    logger: str | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    allowed: Allowed | None = None,
    deadline: float = 30.0,
    follow: bool = False,
) -> dict[tuple[Path, str], Delivered]:
    """Deliver what is not delivered yet, here and now.

    Args:
        folders: of the runs.
        logger: only this one: the name or type of one of the runs' loggers, or the type of any other.
        args: of a logger that a run did not have; none: those that it was given the last time.
        deadline: seconds to go on while nothing arrives.
        follow: go on with runs that go on, until they end.

    Returns:
        By run and name of the logger.

    Raises:
        RunBusyError: another process delivers to one of the loggers.
        ConfigError: a folder is no run; the logger that is named does not exist, or cannot be made.
    """
    allowed = allowed or Allowed(project_root())
    watches, deliveries = {}, []
    for folder in folders:
        if not (folder / "config.json").is_file():
            raise ConfigError.of(Problem("no run is in this folder", found=str(folder), expected="a config.json in it"))
        watch = watches[folder] = Watch(folder)
        final = partial(_status, watch) if follow else partial(str, watch.status or "running")
        for component in _chosen(folder, logger, args or {}):
            delivery = Delivery(folder.resolve(), component, allowed, final)
            if logger is not None:
                delivery.logger  # noqa: B018 - a mistake in what was just asked for is one of the command
            _take_over(delivery, watch)
            deliveries.append(delivery)

    def over() -> bool:
        for watch in watches.values():
            watch.look()
        return not follow or all(watch.status for watch in watches.values())

    ending = Event()
    try:
        serve(deliveries, ending, deadline, over)
    except KeyboardInterrupt:
        ending.set()  # each ends after its batch
        raise
    done = {}
    for delivery in deliveries:
        backlog = backlogs(delivery.folder, [delivery.component.name])[delivery.component.name]
        done[delivery.folder, delivery.component.name] = Delivered(delivery.sent, backlog)
    return done


def _status(watch: Watch) -> str | None:
    return watch.status


def _take_over(delivery: Delivery, watch: Watch) -> None:
    """The courier of a run that is over may still try: it makes way, as does no other."""
    busy = RunBusyError(
        f"another process delivers {delivery.folder.name} to {delivery.component.name}",
        found=f"{delivery.lock} is held",
        hint="it ends with the run; to send to another logger as well: --logger TYPE",
    )
    until = time.monotonic() + _MAKE_WAY
    asked = False
    while is_held(delivery.lock):
        if watch.status is None or time.monotonic() > until:
            raise busy
        if not asked:
            asked = _ask_to_end(delivery.lock)
        time.sleep(0.05)


def _ask_to_end(lock: Path) -> bool:
    """Send SIGTERM to the courier that holds the lock, if it is one of this machine."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        holder = read_json(lock)
        if holder["host"] == socket.gethostname() and any("courier" in word for word in holder["command"]):
            os.kill(int(holder["pid"]), signal.SIGTERM)
            return True
    return False


def _chosen(folder: Path, logger: str | None, args: Mapping[str, Any]) -> list[Component]:
    """Those of the configuration, or one that was delivered to before, or a new one: other arguments, another place.

    Arguments for a logger that the run has are laid over the run's own.
    """
    known = components(read_json(folder / "config.json"))
    if logger is None:
        return known
    named = [component for component in known if logger in (component.name, component.type)]
    if named and not args:
        return named
    if len(named) == 1:
        logger, args = named[0].type, {**named[0].args, **args}
    cursors = {path.stem: Cursor.load(path) for path in sorted((folder / "courier").glob("*.json"))}
    for name, cursor in cursors.items():
        if logger in (name, cursor.type) and (not args or cursor.args == args):
            return [Component(name, cursor.type, cursor.args)]
    taken = [*(component.name for component in known), *cursors]
    return [Component(unused(logger, taken), logger, args)]


def _environment() -> dict[str, str]:
    """This process's, with one thread for every numeric library, and with assay where this process has it."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    home = str(Path(__file__).parents[3])
    if home not in (*site.getsitepackages(), site.getusersitepackages()):
        paths = [home, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
