"""From the journal to one logger: in order, at least once, whatever the logger does."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from assay.config.binding import bind
from assay.config.components import Allowed, Refused, find
from assay.config.load import load
from assay.errors import ConfigError
from assay.logger import LOGGERS
from assay.logger.base import BaseLogger, RunInfo
from assay.logger.cursor import Component, Cursor
from assay.store.journal import JOURNAL
from assay.store.tail import Tail
from assay.utils.atomic import read_json
from assay.utils.secrets import conceal

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)

FILES = ("config.json", "transforms.json", "environment.json")
BATCH = 1000
POLL = 0.25
LONGEST = 30.0
LONGEST_AFTER = 5.0  # seconds between attempts once the run is over


class Delivery:
    """Feeds one logger; `run` is the body of its thread.

    Args:
        folder: of the run.
        component: the logger.
        allowed: where a logger of the user's own may come from.
    """

    def __init__(self, folder: Path, component: Component, allowed: Allowed) -> None:
        self.folder = folder
        self.component = component
        self.allowed = allowed
        self.path = folder / "courier" / f"{component.name}.json"
        self.cursor = Cursor.load(self.path, component.type)
        self.cursor.status, self.cursor.error = "waiting", None
        self.sent = 0
        self._started = False

    def run(self, final: Callable[[], str | None], stop: Event) -> None:
        """Deliver until `stop`, or until the run is over and all of it is delivered.

        Args:
            final: the status that the run ended with, or None while it goes on.
        """
        try:
            self._logger = self._build()
        except Exception as error:  # a wrong name, a missing package: nothing that gets better by waiting
            self._say("failed", error)
            return
        self._begin_again()
        pause = POLL
        while not stop.is_set():
            status = final()  # asked before reading: a record written before the end is not missed
            try:
                if self._deliver():
                    pause = POLL
                    continue
                if status is not None:
                    self._close(status)
                    return
                pause = POLL
            except Exception as error:  # whatever a logger raises is its own affair: said, and tried again
                self._say("retrying", error)
                self._begin_again()
                pause = min(pause * 2, LONGEST if status is None else LONGEST_AFTER)
            self._wait(pause, status, final, stop)
        if self._started:
            try:
                self._close(final() or "running")
            except Exception as error:
                self._say("retrying", error)

    def _build(self) -> BaseLogger:
        # The run's configuration names environment variables; what they hold is nowhere but in the environment.
        read = load({"type": self.component.type, "args": self.component.args})
        if read.problems:
            raise ConfigError(read.problems)
        name = str(read.data["type"])
        try:
            cls = find(LOGGERS, name, self.allowed)
        except Refused as refused:
            raise ConfigError.of(refused.problem) from refused
        bound, problems = bind(LOGGERS, name, cls, read.data["args"])
        if problems:
            raise ConfigError([problem for _, problem in problems])
        logger: BaseLogger = bound.build()
        return logger

    def _begin_again(self) -> None:
        self._started = False
        self.tail = Tail(self.folder / JOURNAL, self.cursor.id, self.cursor.cut)

    def _deliver(self) -> bool:
        """Hand over the next records, if there are any."""
        records = self.tail.read(BATCH)
        before = records[0].id - 1 if records else self.tail.last
        if before < self.cursor.id or self.tail.cut != self.cursor.cut:  # a resume cut the journal
            self._started = self._started and before >= self.cursor.id
            self.cursor.id, self.cursor.cut = min(before, self.cursor.id), self.tail.cut
            self.cursor.save(self.path)
        if not self._started:
            self._logger.start(self._run_info())
            self._started = True
            self._files()
        if records:
            self._logger.log(records)
            self.sent += len(records)
            self.cursor.id = records[-1].id
        if records or self.cursor.status != "waiting" or not self.cursor.updated:
            self._say("waiting", None)
        return bool(records)

    def _close(self, status: str) -> None:
        self._files()
        self._logger.close(status)
        self._say("closed", None)

    def _files(self) -> None:
        for path, name in _files(self.folder):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if self.cursor.files.get(name) != digest:
                self._logger.file(path, name)
                self.cursor.files[name] = digest
                self.cursor.save(self.path)

    def _run_info(self) -> RunInfo:
        config = dict(read_json(self.folder / "config.json"))
        project, name = str(config.get("project", "assay")), str(config.get("name", "run"))
        created = float(read_json(self.folder / "status.json").get("created", 0.0))
        return RunInfo(self.folder, self.folder.name, project, name, config, created, self.cursor.id)

    def _wait(self, pause: float, status: str | None, final: Callable[[], str | None], stop: Event) -> None:
        """Wait, but not on when the run ends: what can be delivered then is, before the deadline."""
        until = time.monotonic() + pause
        while (rest := until - time.monotonic()) > 0 and not stop.wait(min(rest, POLL)):
            if status is None and final() is not None:
                return

    def _say(self, status: str, error: Exception | None) -> None:
        """Into the cursor every time, into the log when it changes."""
        before, self.cursor.status = self.cursor.status, status
        self.cursor.error = " ".join(conceal(f"{type(error).__name__}: {error}").split())[:1000] if error else None
        name = self.component.name
        if status == "failed":
            _log.error("%s cannot be used and gets nothing: %s", name, self.cursor.error)
        elif status == "retrying" and before != "retrying":
            _log.warning("%s failed and is tried again: %s", name, self.cursor.error)
        elif before == "retrying" and status != "retrying":
            _log.info("%s is delivered to again", name)
        self.cursor.save(self.path)


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for name in FILES:
        if (folder / name).is_file():
            yield folder / name, name
    for path in sorted((folder / "code").rglob("*")):
        if path.is_file():
            yield path, path.relative_to(folder).as_posix()
