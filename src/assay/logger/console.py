"""Measurements as plain lines on the training's standard output, for what collects them there (Slurm, Kubernetes)."""

from __future__ import annotations

import hashlib
import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from annotated_types import Ge

from assay.logger.base import BaseLogger, RunInfo
from assay.store.journal import JOURNAL, Record, read
from assay.utils.atomic import read_json, write_json

__all__ = ["ConsoleLogger"]

# The courier gets the training's standard output as a descriptor; its own is run.log.
_VARIABLE = "ASSAY_STDOUT"
# A pipe that can be written to at all takes so much without waiting (POSIX, PIPE_BUF).
_BLOCK = 4096
_PATIENCE = 10.0


class ConsoleLogger(BaseLogger):
    """One line for each record, printed where the training prints.

    Args:
        form: `text` for people (`… validation epoch=3 step=84 loss=0.41`), `json` for programs: one object in a line.
        phases: which records; those of single updates (`batch`) are left out unless they are named here.
        every: of records of single updates only those of every so many steps.
    """

    def __init__(
        self,
        form: Literal["text", "json"] = "text",
        phases: Sequence[Literal["train", "batch", "validation", "test"]] = ("train", "validation", "test"),
        every: Annotated[int, Ge(1)] = 1,
    ) -> None:
        self.form, self.phases, self.every = form, tuple(phases), every
        given = os.environ.get(_VARIABLE)
        # A copy of its own: it is closed while a second logger of this kind may go on.
        self._descriptor = os.dup(int(given)) if given else None

    def start(self, run: RunInfo) -> None:
        self.run = run
        self._path = run.folder / "console" / f"{self.form}.json"
        self._path.parent.mkdir(exist_ok=True)
        self._position = _position(run, self._path)

    def log(self, records: Sequence[Record]) -> None:
        new = [record for record in records if record.id > self._position["id"]]
        if new:
            self._print([self._line(record) for record in new if self._is_wanted(record)])
            self._save(id=new[-1].id, sum=_sum(new[-1]), status="")

    def close(self, status: str) -> None:
        """One line with the status, and the descriptor is let go: who reads the output waits for its end."""
        if status not in ("running", self._position["status"]):
            now = time.time()
            self._print([self._encoded({"time": now, "run": self.run.id, "status": status})])
            self._save(status=status)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            with suppress(OSError, KeyError):
                os.close(int(os.environ.pop(_VARIABLE)))

    def _is_wanted(self, record: Record) -> bool:
        return record.phase in self.phases and (record.phase != "batch" or record.step % self.every == 0)

    def _line(self, record: Record) -> str:
        fields = {"time": record.time, "run": self.run.id, "phase": record.phase}
        numbers = {"epoch": record.epoch, "step": record.step, "samples": record.samples}
        return self._encoded(fields | numbers, record.values)

    def _encoded(self, fields: dict[str, Any], values: dict[str, float] | None = None) -> str:
        when = datetime.fromtimestamp(fields.pop("time"), UTC).isoformat(timespec="milliseconds")
        if self.form == "json":
            content = {"time": when, **fields}
            if values is not None:
                # JSON has no NaN: null would be no number that was measured.
                content["values"] = {
                    name: value if abs(value) < float("inf") else str(value) for name, value in values.items()
                }
            return orjson.dumps(content).decode()
        head = [when, str(fields.pop("phase", fields.pop("run")))]
        fields.pop("run", None)
        pairs = [f"{name}={value}" for name, value in fields.items()]
        return " ".join([*head, *pairs, *(f"{name}={value:.6g}" for name, value in (values or {}).items())])

    def _print(self, lines: Sequence[str]) -> None:
        if self._descriptor is None:  # `assay sync`, whose own output it is
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
            return
        for block in _blocks(lines):
            if not select.select((), (self._descriptor,), (), _PATIENCE)[1]:
                raise TimeoutError(f"the output of the training has taken nothing for {_PATIENCE:.0f} s")
            while block:
                block = block[os.write(self._descriptor, block) :]

    def _save(self, **changes: Any) -> None:
        self._position |= changes
        write_json(self._path, self._position)


def _blocks(lines: Sequence[str]) -> Iterator[bytes]:
    """Whole lines in pieces that a pipe takes at once; a longer line alone, in several."""
    block = b""
    for line in lines:
        content = f"{line}\n".encode()
        if block and len(block) + len(content) > _BLOCK:
            yield block
            block = b""
        block += content
        while len(block) > _BLOCK:
            yield block[:_BLOCK]
            block = block[_BLOCK:]
    if block:
        yield block


def _position(run: RunInfo, path: Any) -> dict[str, Any]:
    """What was printed already: more than is confirmed where the courier died in between.

    Where a resume has measured something else, the journal has another record of that id: it is printed again.
    """
    with suppress(FileNotFoundError, ValueError, TypeError):
        saved = dict(read_json(path))
        if saved["id"] <= run.delivered:
            return saved | {"id": run.delivered}
        records = read(run.folder / JOURNAL)
        if any(record.id == saved["id"] and _sum(record) == saved["sum"] for record in records):
            return saved
    return {"id": run.delivered, "sum": "", "status": ""}


def _sum(record: Record) -> str:
    """Of all that a repetition measures again; its time is another one."""
    content = repr((record.phase, record.epoch, record.step, sorted(record.values.items())))
    return hashlib.sha256(content.encode()).hexdigest()
