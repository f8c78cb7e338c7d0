"""Weights & Biases: a run in files in the run folder (`wandb sync` uploads it), or on its server."""

from __future__ import annotations

import glob
import html
import logging
import netrc
import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from assay.logger.again import in_journal, records_between, samples_between
from assay.logger.base import BaseLogger, RunInfo
from assay.logger.courier.backlog import FIRST, LAST
from assay.logger.heat_map import heat_map
from assay.logger.wandb.form import MATRIX, State, coarser, digest, matrix_rows
from assay.store.journal import Record
from assay.store.samples import Sample
from assay.utils.atomic import read_json, write_bytes

__all__ = ["WandbLogger"]

_log = logging.getLogger(__name__)

_SERVER = "https://api.wandb.ai"
_PHASES = ("train", "batch", "validation", "test")
_EXIT = {"completed": 0, "interrupted": 255}  # 255 is what W&B itself has for Ctrl-C
# The courier is neither the program that W&B should describe nor a place to capture output of.
_SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "symlink": False,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "init_timeout": 10.0,
    "finish_timeout": 60.0,
    "finish_timeout_raises": True,
}
_ours: set[str] = set()


class WandbLogger(BaseLogger):
    """Scalars, configuration, pictures, histograms, confusion matrices, files and code as a run of W&B.

    Offline the files in `wandb/` of the run folder are a copy of the journal: whoever starts again writes them
    anew. Online the row of record n is W&B's step n, so that what the server has already is not sent again; after
    a resume that measured something else a run of a new id is written, since W&B takes no step back.

    Args:
        project: of W&B; without it the configuration's `project`.
        entity: the user or team that the run belongs to.
        mode: "offline" needs no account; `wandb sync RUN/wandb/offline-run-…` uploads the run later.
        group: under which W&B shows several runs together.
        tags: of the run.
        system: also the samples of the machine, under "System".
        api_key: for "online", best as `${env:WANDB_API_KEY}`; without it that of `wandb login`.
        base_url: of a server of one's own.
    """

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        mode: Literal["offline", "online"] = "offline",
        *,
        group: str | None = None,
        tags: Sequence[str] = (),
        system: bool = True,
        api_key: str | None = None,
        base_url: str | None = None,
    ) -> None:
        self.project, self.entity, self.mode, self.group, self.tags = project, entity, mode, group, tuple(tags)
        self.shows_system = system
        self.server = (base_url or os.environ.get("WANDB_BASE_URL") or _SERVER).rstrip("/")
        if api_key:
            os.environ["WANDB_API_KEY"] = api_key
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise ImportError(f"WandbLogger needs Weights & Biases ({error}); pip install 'assay[wandb]'") from error
        self.wandb: Any = wandb
        self._run: Any = None

    def reach(self) -> None:
        if self.mode == "online":
            self._need_key()
            parts = urlsplit(self.server)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=3).close()

    def start(self, run: RunInfo) -> None:
        self.run, self.folder = run, run.folder / "wandb"
        if self._run is not None:
            try:
                self._run.finish(exit_code=1)
            except Exception:  # what is begun again is whole, whatever becomes of this
                self._give_up()
            self._run = None
        self._state = State.load(self.folder)

    def log(self, records: Sequence[Record]) -> None:
        self._open()
        self._rows(records_between(self.run, self._state.last, records[0].id - 1))
        self._rows(records)
        self._state.save(self.folder)

    def system(self, samples: Sequence[Sample]) -> None:
        if self.shows_system:
            self._open()
            for sample in samples:
                self._stats(sample)

    def file(self, path: Path, name: str) -> None:
        self._open()
        self._file(path, name)

    def close(self, status: str) -> None:
        if self._run is None and (self._state.last, self._state.status) == (self.run.delivered, status):
            return
        self._open()
        if status != "running":
            with suppress(OSError, ValueError):
                values = read_json(self.run.folder / "status.json").get("values", {}).get("best", {})
                self._run.summary.update({f"best/{name}": value for name, value in values.items()})
        # Without an exit code of its own W&B would call a run that goes on finished.
        self._run.finish(exit_code=_EXIT.get(status, 1))
        self._run, self._state.status = None, status
        self._state.save(self.folder)

    def _open(self) -> None:
        """The W&B run, with all in it that the courier takes for delivered."""
        if self._run is not None:
            return
        if self.mode == "online":
            self._need_key()
            last = (self._state.last, self._state.time)
            if last[0] > self.run.delivered and not in_journal(self.run.folder, *last):
                self._state.generation += 1
                _log.warning("%s was resumed and measured something else: W&B gets it as a new run", self.run.id)
        else:
            self._remove()
        self.folder.mkdir(exist_ok=True)
        self._environment()
        self._run = self._init(self.run.id + (f"-{self._state.generation + 1}" if self._state.generation else ""))
        self._files: dict[str, str] = {}
        self._state.last, self._state.status = self._run.step - 1, ""
        for axis in ("step", "epoch", "samples"):
            self._run.define_metric(axis, summary="none")
        for phase in _PHASES:
            self._run.define_metric(f"{phase}/*", step_metric="step")
        for name in (*FIRST, *LAST, "code/"):
            if (path := self.run.folder / name).exists():
                self._file(path, name)
        self._rows(records_between(self.run, self._state.last, self.run.delivered))
        if self.shows_system and not self._run.resumed:
            for sample in samples_between(self.run.folder, -1, self.run.sampled):
                self._stats(sample)
        self._state.save(self.folder)

    def _remove(self) -> None:
        for path in self.folder.glob("*"):
            if path.name == "assay.json":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _init(self, id_: str) -> Any:
        known = self.wandb.Settings.model_fields
        wanted = _SETTINGS | {"base_url": self.server, "x_start_time": self.run.created or None}
        settings = self.wandb.Settings(**{name: value for name, value in wanted.items() if name in known})
        arguments = {
            "project": self.project or self.run.project,
            "entity": self.entity,
            "dir": str(self.run.folder),
            "id": id_,
            "name": id_,
            "group": self.group,
            "tags": self.tags,
            "config": self.run.config,
            "mode": self.mode,
            "resume": "allow" if self.mode == "online" else None,
            "reinit": "create_new",
            "settings": settings,
        }
        try:
            return self.wandb.init(**arguments)
        except Exception:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """W&B's own process may have died: the next call starts another."""
        with suppress(Exception):
            self.wandb.teardown()

    def _environment(self) -> None:
        """W&B keeps what it stages and logs in the run folder too, where the user has no place for it."""
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            if name not in os.environ or name in _ours:
                os.environ[name] = str(self.folder / "own")
                _ours.add(name)

    def _need_key(self) -> None:
        if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
            return
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc().authenticators(urlsplit(self.server).hostname or ""):
                return
        raise RuntimeError("no key for W&B: set WANDB_API_KEY, run `wandb login`, or take `mode: offline`")

    def _rows(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.id > self._state.last:
                self._row(record)
                self._state.last, self._state.time = record.id, repr(record.time)

    def _row(self, record: Record) -> None:
        row: dict[str, Any] = dict(record.scalars())
        for name, medium in record.media.items():
            tag = f"{record.phase}/{name}"
            try:
                row |= self._medium(tag, medium["kind"], self.run.folder / medium["path"])
            except (OSError, ValueError, LookupError, TypeError) as error:
                # A picture that was deleted, or is none, must not hold up the numbers.
                _log.warning("record %d: no picture for %s: %s", record.id, tag, error)
        row |= {"epoch": record.epoch, "step": record.step, "samples": record.samples, "_timestamp": record.time}
        self._run.log(row, step=record.id, commit=True)

    def _medium(self, tag: str, kind: str, path: Path) -> dict[str, Any]:
        if kind == "image":
            return {tag: self.wandb.Image(str(path))}
        if kind == "text":
            return {tag: self.wandb.Html(f"<pre>{html.escape(path.read_text(errors='replace'))}</pre>", inject=False)}
        if kind == "file":
            self._save(path)
            return {}
        if kind not in ("histograms", "matrix"):
            raise ValueError(f"W&B shows no {kind!r}")
        content = read_json(path)
        if kind == "histograms":
            return {
                f"{tag}/{name}": self.wandb.Histogram(np_histogram=coarser(one["counts"], one["edges"]))
                for name, one in content.items()
            }
        values, labels = content["values"], content.get("labels") or []
        picture = self.folder / "own" / "matrix.png"
        picture.parent.mkdir(exist_ok=True)
        write_bytes(picture, heat_map(values, labels))
        table = self.wandb.Table(columns=list(MATRIX), data=matrix_rows(values, labels))
        fields = {name: name for name in MATRIX}
        chart = self.wandb.plot_table("wandb/confusion_matrix/v1", table, fields, {"title": tag})
        return {tag: self.wandb.Image(str(picture)), f"{tag}_chart": chart}

    def _stats(self, sample: Sample) -> None:
        """As W&B's own measurements of a machine: a call that its interface has, and its documentation has not."""
        backend = getattr(self._run, "_backend", None)  # as older versions have it
        interface = backend.interface if backend else self._run._interface
        values = {name.removeprefix("system/").replace("/", "."): value for name, value in sample.scalars()}
        stats = interface._make_stats(values)
        stats.timestamp.FromNanoseconds(round(1e9 * sample.time))
        interface._publish(interface._make_record(stats=stats))

    def _file(self, path: Path, name: str) -> None:
        code = self.run.folder / "code"
        key = "code" if name.startswith("code/") else name
        now = digest([*code.rglob("*")] if key == "code" else [path])
        if self._files.get(key) == now:
            return
        if key == "code":
            self._run.log_code(str(code), name=f"source-{self.run.id}", include_fn=lambda path: True)
        else:
            self._save(path)
        self._files[key] = now

    def _save(self, path: Path) -> None:
        self._run.save(glob.escape(str(path)), base_path=str(self.run.folder), policy="now")
