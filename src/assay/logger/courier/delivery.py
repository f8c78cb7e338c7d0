"""From the run folder to one logger: in order, at least once, whatever the logger does."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Event
from traceback import extract_tb
from typing import Any

from assay.config.binding import bind
from assay.config.components import Allowed, Refused, find
from assay.config.load import load
from assay.errors import ConfigError, Problem, RunBusyError
from assay.logger import LOGGERS
from assay.logger.base import BaseLogger, NotTaken, RunInfo
from assay.logger.courier.backlog import FIRST, LAST, files_of
from assay.logger.courier.cursor import Component, Cursor
from assay.logger.courier.reasons import in_full, reason
from assay.logger.courier.refused import Refusals
from assay.logger.courier.replay import Replay
from assay.store.journal import JOURNAL, Record
from assay.store.lock import Lock
from assay.store.samples import SYSTEM, Sample, read_samples
from assay.store.tail import Tail
from assay.utils.atomic import read_json
from assay.utils.digest import sha256_of
from assay.utils.secrets import conceal

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)

BATCH = 1000
POLL = 0.25
BEAT = 5.0
LONGEST = 30.0
LONGEST_AFTER = 2.0  # seconds between attempts once the run is over


class Delivery:
    """Feeds one logger; `run` is the body of its thread.

    Args:
        folder: of the run.
        component: the logger.
        allowed: where a logger of the user's own may come from.
        final: the status that the run ended with, or None while it goes on.
    """

    def __init__(
        self, folder: Path, component: Component, allowed: Allowed, final: Callable[[], str | None] = lambda: None
    ) -> None:
        self.folder, self.component, self.allowed, self.final = folder, component, allowed, final
        self.path = folder / "courier" / f"{component.name}.json"
        self.lock = self.path.with_suffix(".lock")
        self.cursor = Cursor.load(self.path, component.type)
        self.sent = 0
        self.moved = time.monotonic()
        """When something was last delivered, by the monotonic clock."""
        # What the environment holds is hidden by whoever has read it: before any logger of the run says anything.
        with suppress(ConfigError, OSError, ValueError):
            load({"loggers": [*read_json(folder / "config.json").get("loggers", ()), asdict(component)]})
        self._refusals = Refusals(self.path.with_suffix(".refused.jsonl"))
        self._confirmed: deque[tuple[float, int, int]] = deque()
        self._started = False
        self._beat = 0.0
        self._saved = True

    def run(self, stop: Event) -> None:
        """Deliver until `stop`, or until the run is over and all of it is delivered; wait for another who does."""
        lock = self._take_lock(stop)
        if lock is None:
            return
        try:
            self.cursor = Cursor.load(self.path, self.component.type)
            self.cursor.status, self.cursor.error = "waiting", None
            self.cursor.args = dict(self.component.args)
            self._save()
            try:
                self.logger  # noqa: B018 - it is made here
            except BaseException as error:  # a wrong name, a missing package: nothing that gets better by waiting
                self._say("failed", error)
                return
            self._begin_again()
            self._deliver_all(stop)
        finally:
            lock.release()

    def _take_lock(self, stop: Event) -> Lock | None:
        while not stop.is_set():
            try:
                return Lock(self.lock)
            except RunBusyError:
                stop.wait(POLL)
            except OSError as error:  # a folder that may only be read
                self._say("failed", error)
                return None
        return None

    def _deliver_all(self, stop: Event) -> None:
        pause = POLL
        while not stop.is_set():
            status = self.final()  # asked before reading: a record written before the end is not missed
            try:
                if self._deliver():
                    pause = POLL
                    continue
                if status is not None:
                    self._close(status)
                    return
                pause = POLL
            except BaseException as error:  # whatever a logger raises is its own affair: said, and tried again
                self._say("retrying", error)
                self._begin_again()
                pause = min(pause * 2, LONGEST if status is None else LONGEST_AFTER)
            self._wait(pause, status, stop)
        if self._started:
            try:
                self._close(self.final() or "running", LAST)  # there is no time for more files
            except BaseException as error:
                self._say("retrying", error)

    @cached_property
    def logger(self) -> BaseLogger:
        """The logger, made once.

        Raises:
            ConfigError: its name or arguments are wrong, or its package is missing.
        """
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
        try:
            logger: BaseLogger = bound.build()
        except ImportError as error:
            raise ConfigError.of(Problem(str(error))) from error
        return logger

    def _begin_again(self) -> None:
        """From what surely is safe: the far end may have lost what it confirmed just before it failed."""
        self._started = False
        self._confirmed.clear()
        record, self._sample = self.cursor.safe or (self.cursor.id, self.cursor.sample)
        self._tail = Tail(self.folder / JOURNAL, min(record, self.cursor.id), self.cursor.cut)
        self._replay: Replay | None = None

    def _deliver(self) -> bool:
        """Hand over what comes next; False where there is nothing new."""
        records: Sequence[Record] = self._tail.read(BATCH)
        moved = bool(records)
        if self._tail.went_back:
            self._take_back(records[0].id - 1 if records else self._tail.last)
        if self.cursor.had >= 0:
            records = self._without_same(records)
        if not self._started:
            self.logger.start(self._run_info())
            self._started = True
            self._files(FIRST)
            self._code = self._later_files()
        if records:
            self._take(self.logger.log, records)
            self.sent += sum(record.id > self.cursor.id for record in records)
            self.cursor.id = max(self.cursor.id, records[-1].id)
        if moved:
            self._confirm()
        samples = read_samples(self.folder / SYSTEM, self._sample, BATCH)
        if samples:
            self._take(self.logger.system, samples)
            self._sample = samples[-1].id
            self.cursor.sample = max(self.cursor.sample, self._sample)
            self._confirm()
        # Files come when nothing else waits: numbers first.
        moved = moved or bool(samples) or next(self._code, False)
        if self.cursor.status != "waiting":
            self._say("waiting", None)
        if self.final() is None and time.monotonic() - self._beat > BEAT:
            self.logger.beat()
            self._beat = time.monotonic()
        return moved

    def _take_back(self, last: int) -> None:
        """A resume cut the journal after `last`: what comes again is held against what was there."""
        if last < self.cursor.id:
            self.cursor.had = max(self.cursor.had, self.cursor.id)
            self.cursor.id = last
            if self.cursor.safe:
                self.cursor.safe[0] = min(self.cursor.safe[0], self.cursor.id)
        self._replay = None
        if self.cursor.had < 0:
            self.cursor.cut = self._tail.cut
        self._save()

    def _without_same(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records from the first on that is not the one that was delivered before the resume.

        Where one differs, or the run ended before it came to the last of them, the logger starts again before it.
        """
        self._replay = self._replay or Replay(self.folder, self.cursor.cut)
        for index, record in enumerate(records):
            if record.id > self.cursor.had:
                return self._replayed(records[index:])
            if not self._replay.is_same(record):
                self._started = False
                return self._replayed(records[index:])
            self.cursor.id = max(self.cursor.id, record.id)
        if self.cursor.id >= self.cursor.had:
            return self._replayed(())
        if not records and self.final() is not None:
            self._started = False
            return self._replayed(())
        return ()

    def _replayed(self, rest: Sequence[Record]) -> Sequence[Record]:
        self.cursor.had, self.cursor.cut, self._replay = -1, self._tail.cut, None
        self._save()
        return rest

    def _take(self, call: Callable[[Any], None], items: Sequence[Record] | Sequence[Sample]) -> None:
        try:
            call(items)
        except NotTaken as refused:
            new = self._refusals.keep(items, refused.reasons)
            if new and not self.cursor.refused:
                first = conceal(next(iter(refused.reasons.values())))
                _log.warning("%s refuses records for good: %s; see %s", self.component.name, first, self._refusals.path)
            self.cursor.refused += new

    def _confirm(self) -> None:
        """Save how far it came, and remember when, as far as the far end may lose it."""
        self.moved = now = time.monotonic()
        seconds = self.logger.resend_seconds
        if seconds:
            self.cursor.safe = self.cursor.safe or [-1, -1]
            self._confirmed.append((now, self.cursor.id, self._sample))
            while now - self._confirmed[0][0] > seconds:
                _, *self.cursor.safe = self._confirmed.popleft()
        self._say("waiting", None)

    def _close(self, status: str, files: Sequence[str] | None = None) -> None:
        self._files(files)
        self.logger.close(status)
        self.cursor.safe = None
        self._say("closed", None)

    def _files(self, names: Sequence[str] | None = None) -> None:
        for path, name in files_of(self.folder):
            if names is None or name in names:
                self._file(path, name)

    def _later_files(self) -> Iterator[bool]:
        for path, name in files_of(self.folder):
            if name not in LAST and self._file(path, name):
                yield True

    def _file(self, path: Path, name: str) -> bool:
        digest = sha256_of(path)
        if self.cursor.files.get(name) == digest:
            return False
        self.logger.file(path, name)
        self.cursor.files[name] = digest
        self.moved = time.monotonic()
        self._save()
        return True

    def _run_info(self) -> RunInfo:
        config = dict(read_json(self.folder / "config.json"))
        project, name = str(config.get("project", "assay")), str(config.get("name", "run"))
        created = float(read_json(self.folder / "status.json").get("created", 0.0))
        delivered = max(self.cursor.id, self.cursor.had)
        return RunInfo(
            self.folder,
            self.folder.name,
            project,
            name,
            config,
            created,
            delivered,
            self.cursor.sample,
            self.cursor.cut,
        )

    def _wait(self, pause: float, status: str | None, stop: Event) -> None:
        """Wait, but not on when the run ends: what can be delivered then is, before the deadline."""
        until = time.monotonic() + pause
        while (rest := until - time.monotonic()) > 0 and not stop.wait(min(rest, POLL)):
            if status is None and self.final() is not None:
                return

    def _say(self, status: str, error: BaseException | None) -> None:
        """Into the cursor every time, into the log when it changes."""
        before, self.cursor.status = self.cursor.status, status
        place = self._place(error) if error else ""
        self.cursor.error = reason(error) + place if error else None
        name = self.component.name
        if status == "failed":
            _log.error("%s cannot be used and gets nothing: %s", name, self.cursor.error)
        elif status == "retrying" and before != "retrying":
            _log.warning("%s failed and is tried again: %s", name, self.cursor.error, exc_info=error if place else None)
            if error and (full := in_full(error)) + place != self.cursor.error:
                _log.info("%s said: %s", name, full[:3000])
        elif before == "retrying" and status != "retrying":
            _log.info("%s is delivered to again", name)
        self._save()

    def _place(self, error: BaseException) -> str:
        """Where a mistake in a logger of the user's own stands: no server that comes back will mend it."""
        if ":" not in self.component.type or isinstance(error, OSError) or type(error).__module__ != "builtins":
            return ""
        frames = extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(self.allowed.root)]
        return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""

    def _save(self) -> None:
        """A full disk costs no more than delivering some records again after a crash."""
        try:
            self.cursor.save(self.path)
        except OSError as error:
            if self._saved:
                _log.warning("the cursor of %s cannot be written: %s", self.component.name, error)
            self._saved = False
        else:
            self._saved = True
