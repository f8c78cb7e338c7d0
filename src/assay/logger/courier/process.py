"""The process that feeds the loggers of a run: `python -m assay.logger.courier RUN`.

It reads the run folder and nothing else, imports no torch, and may be killed at any time: what is not
delivered is what follows the cursors in `courier/`. It ends when the run is over and everything is delivered.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import NoReturn

from assay.config.components import Allowed
from assay.logger.courier.backlog import backlogs
from assay.logger.courier.cursor import components
from assay.logger.courier.delivery import POLL, Delivery
from assay.logger.machine.sampler import Sampler
from assay.store.lock import is_held
from assay.store.run_folder import FINAL
from assay.utils.atomic import read_json
from assay.utils.discreet import DiscreetStream
from assay.utils.secrets import conceal

__all__ = ["Watch", "main", "run", "serve"]

GRACE = 5.0

_log = logging.getLogger("assay.logger.courier.process")


class Watch:
    """Looks whether a run goes on: `status` is None then, and else how it ended.

    "died" is the status of a run that has neither said how it ended nor a process that holds its lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: str | None = None
        self._since = 0.0
        self._free: tuple[int, int] | None = None
        self.look()

    def is_past(self, seconds: float) -> bool:
        """Whether the run has been over for so long."""
        return self.status is not None and time.monotonic() - self._since > seconds

    def look(self) -> None:
        before = self.status
        self._look()
        if before is None and self.status is not None:
            self._since = time.monotonic()

    def _look(self) -> None:
        state = self.state()
        if state in FINAL:
            self.status = state
            return
        # A lock that was free is tried again only when somebody has written to it since: who is about to take
        # it for a resume must not find us there.
        stamp = self._stamp()
        if stamp == self._free:
            self.status = "died"
        elif is_held(self.folder / "run.lock"):
            self.status, self._free = None, None
        else:
            self.status, self._free = "died", stamp

    def _stamp(self) -> tuple[int, int]:
        try:
            facts = (self.folder / "run.lock").stat()
        except FileNotFoundError:
            return 0, 0
        return facts.st_mtime_ns, facts.st_size

    def state(self) -> str:
        """As status.json says, whether its writer is alive or not."""
        try:
            return str(read_json(self.folder / "status.json").get("state", "running"))
        except (FileNotFoundError, ValueError):
            return "running"


class _Discreet(logging.Formatter):
    """Lines of `run.log` without passwords: libraries log the addresses that they are given."""

    def format(self, record: logging.LogRecord) -> str:
        return conceal(super().format(record))


def serve(deliveries: Sequence[Delivery], stop: Event, deadline: float, look: Callable[[], bool]) -> None:
    """Run every delivery in a thread of its own, until all are done.

    Args:
        stop: ends them between two batches.
        deadline: seconds that they go on after the run's end while nothing arrives anywhere.
        look: called a few times a second; whether the run is over.
    """
    threads = {
        delivery: Thread(target=delivery.run, args=(stop,), name=delivery.component.name, daemon=True)
        for delivery in deliveries
    }
    for thread in threads.values():
        thread.start()
    over_since: float | None = None
    pause = POLL / 5  # what is done at once is not waited for
    while any(thread.is_alive() for thread in threads.values()) and not stop.wait(pause):
        if not look():
            over_since, pause = None, POLL
            continue
        over_since = over_since or time.monotonic()
        last = max(delivery.moved for delivery in deliveries)
        if time.monotonic() - max(over_since, last) > deadline:
            stop.set()
    until = time.monotonic() + GRACE
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 6 when something could not be delivered."""
    options = _parse(arguments)
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # the training comes first
    form = "%(asctime)s courier: %(message)s"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Discreet(form, "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop = Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    folder: Path = options.run.resolve()
    watch = Watch(folder)
    allowed = Allowed(options.root.resolve(), tuple(options.allow))
    config = read_json(folder / "config.json")
    found = components(config)
    sampling = _sample(folder, options.system, watch, stop) if options.system else None

    def final() -> str | None:
        """The end of the run, once the last sample of the machine is written."""
        return None if sampling and sampling.is_alive() and not watch.is_past(GRACE) else watch.status

    deliveries = [Delivery(folder, component, allowed, final) for component in found]
    serve(deliveries, stop, options.deadline, _over(watch, stop))
    if sampling:
        while watch.status is None and not stop.wait(POLL):
            watch.look()
        stop.set()
        sampling.join(GRACE)
    rest = {name: backlog for name, backlog in backlogs(folder, [one.name for one in found]).items() if str(backlog)}
    for name, backlog in rest.items():
        _log.warning("%s are not delivered to %s; later: assay sync %s", backlog, name, folder)
    return 6 if rest else 0


def _over(watch: Watch, stop: Event) -> Callable[[], bool]:
    ended = False

    def look() -> bool:
        nonlocal ended
        watch.look()
        if watch.status is None and ended:
            _log.info("the run goes on under another trainer; its own courier takes over")
            stop.set()
        ended = watch.status is not None
        return ended

    return look


def _sample(folder: Path, every: float, watch: Watch, stop: Event) -> Thread:
    try:
        pid = int(read_json(folder / "run.lock")["pid"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pid = None
    sampler = Sampler(folder, pid)
    thread = Thread(target=sampler.run, args=(every, lambda: watch.status is not None, stop), daemon=True)
    thread.start()
    return thread


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m assay.logger.courier", description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument(
        "--deadline", type=float, default=60.0, help="seconds to go on after the run's end while nothing arrives"
    )
    parser.add_argument("--system", type=float, help="measure the machine every so many seconds")
    parser.add_argument("--root", type=Path, default=Path(), help="the project that own loggers come from")
    parser.add_argument("--allow", action="append", default=[], help="a package that loggers may come from")
    return parser.parse_args(arguments)


def run(arguments: Sequence[str]) -> NoReturn:
    """The whole of the process."""
    # Both are run.log; what libraries print there, with warnings and what a thread raised, is not ours to word.
    sys.stdout = sys.stderr = DiscreetStream(sys.stdout)
    code = main(arguments)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # a thread that a logger left behind, or that hangs in one, keeps nobody waiting
