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
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from assay.config.components import Allowed
from assay.errors import RunBusyError
from assay.logger.cursor import components, left
from assay.logger.delivery import POLL, Delivery
from assay.logger.system import Sampler
from assay.store.lock import Lock, is_held
from assay.store.run_folder import FINAL
from assay.utils.atomic import read_json
from assay.utils.secrets import conceal

__all__ = ["Watch", "lock_courier", "main", "serve"]

GRACE = 5.0

_log = logging.getLogger("assay.logger.courier")


class Watch:
    """Looks whether a run goes on: `status` is None then, and else how it ended.

    "died" is the status of a run that has neither said how it ended nor a process that holds its lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: str | None = None
        self._free: tuple[int, int] | None = None
        self.look()

    def look(self) -> None:
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


def lock_courier(folder: Path) -> Lock:
    """Take the right to deliver a run.

    Raises:
        RunBusyError: another courier has it.
    """
    (folder / "courier").mkdir(exist_ok=True)
    try:
        return Lock(folder / "courier" / "lock")
    except RunBusyError as error:
        raise RunBusyError(
            f"another courier delivers {folder.name}",
            found=error.message,
            hint="it ends by itself when the run is over and everything is delivered",
        ) from error


def serve(deliveries: Sequence[Delivery], watch: Watch, stop: Event, deadline: float, *, once: bool = False) -> None:
    """Run every delivery in a thread of its own, until all are done or `deadline` seconds after the end.

    Args:
        once: as if the run were over: deliver what there is, and end.
    """
    now = watch.status or "running"
    threads = [
        Thread(target=delivery.run, args=((lambda: now) if once else (lambda: watch.status), stop), daemon=True)
        for delivery in deliveries
    ]
    for thread in threads:
        thread.start()
    over_since: float | None = time.monotonic() if once else None
    while any(thread.is_alive() for thread in threads) and not stop.wait(POLL / 5 if once else POLL):
        if not once:
            watch.look()
            if watch.status is not None:
                over_since = over_since or time.monotonic()
            elif over_since is not None:
                over_since = None
                _log.info("the run goes on under another trainer; its own courier takes over")
                stop.set()
        if over_since is not None and time.monotonic() - over_since > deadline:
            stop.set()
    until = time.monotonic() + GRACE
    for thread in threads:
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
    lock = _wait_for_lock(folder, watch, stop, options.deadline)
    if lock is None:
        return 0
    allowed = Allowed(options.root.resolve(), tuple(options.allow))
    config = read_json(folder / "config.json")
    deliveries = [Delivery(folder, component, allowed) for component in components(config)]
    sampling = _sample(folder, options.system, watch, stop) if options.system and not options.once else None
    serve(deliveries, watch, stop, options.deadline, once=options.once)
    if sampling:
        while watch.status is None and not stop.wait(POLL):
            watch.look()
        stop.set()
        sampling.join(GRACE)
    rest = {name: count for name, count in left(folder).items() if count}
    for name, count in rest.items():
        _log.warning("%d records are not delivered to %s; later: assay sync %s", count, name, folder)
    lock.release()
    return 6 if rest else 0


def _wait_for_lock(folder: Path, watch: Watch, stop: Event, deadline: float) -> Lock | None:
    """The courier of a trainer that died may still be there: it ends soon, or delivers for us."""
    over_since: float | None = None
    while not stop.is_set():
        try:
            return lock_courier(folder)
        except RunBusyError:
            watch.look()
            if watch.status is None:
                over_since = None
            else:
                over_since = over_since or time.monotonic()
                if time.monotonic() - over_since > deadline:
                    return None
        stop.wait(POLL)
    return None


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
    parser.add_argument("--once", action="store_true", help="deliver what there is now, and end")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds to go on after the run's end")
    parser.add_argument("--system", type=float, help="measure the machine every so many seconds")
    parser.add_argument("--root", type=Path, default=Path(), help="the project that own loggers come from")
    parser.add_argument("--allow", action="append", default=[], help="a package that loggers may come from")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
