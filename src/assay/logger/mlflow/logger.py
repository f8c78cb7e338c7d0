"""MLflow: on a server, or in a database beside the runs (`mlflow ui --backend-store-uri sqlite:///saved/mlflow.db`)."""

from __future__ import annotations

import logging
import os
import posixpath
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assay.logger.again import in_journal, records_between, samples_between
from assay.logger.base import BaseLogger, NotTaken, RunInfo
from assay.logger.courier.backlog import FIRST, LAST
from assay.logger.flat import flat
from assay.logger.heat_map import heat_map
from assay.logger.in_parallel import in_parallel
from assay.logger.mlflow.form import LONGEST_NAME, LONGEST_VALUE, environment_tags, legal, picture_files, run_tags
from assay.store.journal import Record
from assay.store.samples import Sample
from assay.utils.atomic import read_json
from assay.utils.digest import sha256_of

__all__ = ["MLflowLogger"]

_log = logging.getLogger(__name__)

_BATCH = 1000  # metrics of a request, as the server has it; parameters: 100
_LAST, _SAMPLED, _WHOLE = "assay.last", "assay.sampled", "assay.files"
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else MLflow asks, or takes it for an evaluation of LLMs
_STATUS = {"completed": "FINISHED", "interrupted": "KILLED"}
_AT_ONCE = 32  # files: the server has some 40 threads for them
# The courier is patient itself: a request that gets no answer is not to hold it for MLflow's 14 minutes.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.5",
    "MLFLOW_HTTP_POOL_MAXSIZE": "32",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class MLflowLogger(BaseLogger):
    """Scalars, parameters, pictures, matrices, files and code as a run of MLflow.

    A run is found again by its tag `assay.run`, so that there is one of it whatever was interrupted. MLflow
    keeps a point once, however often it comes (key, value, time and step are its primary key), and cannot take
    one back: after a resume that measured something else a new run is written from the journal and the old one
    moved to MLflow's deleted runs.

    Variables of MLflow's own (`MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_TOKEN`, `MLFLOW_HTTP_REQUEST_TIMEOUT`, …)
    hold where no argument is given.

    Args:
        tracking_uri: e.g. `http://127.0.0.1:5000`; without it `mlflow.db` in the folder that holds all runs.
        experiment: in which the run appears; without it the configuration's `project`.
        system: also the samples of the machine, under "System metrics".
        checkpoint: also the best checkpoint, when the run has ended.
        username: of basic authentication.
        password: of basic authentication; `${env:NAME}` keeps it out of files.
        token: sent as a bearer token, instead of a password.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        *,
        system: bool = True,
        checkpoint: bool = False,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
    ) -> None:
        self.uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self.experiment, self.shows_system, self.keeps_checkpoint = experiment, system, checkpoint
        given = {"username": username, "password": password, "token": token}
        if self.uri and self.uri.startswith("http"):
            # What stands in an address stands in every error message about it.
            parts = urlsplit(self.uri)
            given = {"username": parts.username, "password": parts.password} | {k: v for k, v in given.items() if v}
            self.uri = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        os.environ.update({f"MLFLOW_TRACKING_{name.upper()}": value for name, value in given.items() if value})
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        for library in ("alembic", "urllib3.connectionpool"):
            logging.getLogger(library).setLevel(logging.ERROR)
        try:
            import mlflow
        except ImportError as error:
            raise ImportError(f"MLflowLogger needs MLflow ({error}); pip install 'assay[mlflow]'") from error
        self.mlflow: Any = mlflow
        self._client: Any = None
        self._id = ""
        self._unsure = False
        self._sent: dict[str, str] = {}
        self._said: set[str] = set()

    def reach(self) -> None:
        if self.uri and self.uri.startswith("http"):
            self.mlflow.MlflowClient(self.uri).search_experiments(max_results=1)

    def start(self, run: RunInfo) -> None:
        self.run = run
        base = run.folder.parent.parent if run.folder.parent.name == run.project else run.folder.parent
        if self._client is None:
            self._client = self.mlflow.MlflowClient(self.uri or self._database(base / "mlflow.db"))
        self._experiment = self._find_experiment(None if self.uri else (base / "mlflow-files").as_uri())
        found = self._find()
        if found and self._measured_otherwise(found):
            _log.warning("%s was resumed and measured something else: MLflow gets it as a new run", run.id)
            id_, known = self._create(run_tags(run)), {}
            self._client.delete_run(found.info.run_id)
            found = None
        elif found:
            id_, known = found.info.run_id, found.data.tags
        else:
            # Of a run that nobody knows the courier has sent no files, and does that itself.
            known = {_WHOLE: "true"} if run.delivered < 0 and run.sampled < 0 else {}
            id_ = self._create(run_tags(run) | known)
        if id_ != self._id:
            self._id, self._sent = id_, {}
        if _WHOLE not in known:
            self._send_files(self._files(*FIRST, "code", *LAST))
            self._tag({_WHOLE: "true"})
        self._parameters(found.data.params if found else {})
        if found and found.info.status != "RUNNING" and self._state("state", "running") == "running":
            self._client.update_run(self._id, status="RUNNING")
        self._catch_up(known)

    def log(self, records: Sequence[Record]) -> None:
        refused: dict[int, str] = {}
        points = [
            (record, self._point(name, value, record.time, record.step))
            for record in records
            for name, value in record.scalars()
        ]
        for start in range(0, len(points), _BATCH):
            self._send(points[start : start + _BATCH], _LAST, refused)
        for record in records:
            for name, medium in record.media.items():
                try:
                    self._medium(record, f"{record.phase}/{name}", medium["kind"], self.run.folder / medium["path"])
                except (OSError, ValueError, LookupError, TypeError) as error:
                    # A picture that was deleted, or is none, must not hold up the numbers.
                    _log.warning("record %d: no picture for %s: %s", record.id, name, error)
        if refused:
            raise NotTaken(refused)

    def system(self, samples: Sequence[Sample]) -> None:
        refused: dict[int, str] = {}
        points = [
            (sample, self._point(name, value, sample.time, max(0, round(sample.time - self.run.created))))
            for sample in samples
            for name, value in sample.scalars()
            if self.shows_system
        ]
        for start in range(0, len(points), _BATCH):
            self._send(points[start : start + _BATCH], _SAMPLED, refused)
        if refused:
            raise NotTaken(refused)

    def file(self, path: Path, name: str) -> None:
        if self._sent.get(name) == sha256_of(path):
            return
        # Code comes as a hundred small files: with one request after the other a slow server takes minutes.
        code = self._files("code") if name.startswith("code/") else {}
        more = [other for other in sorted(code) if other not in self._sent and other != name]
        self._send_files({name: path} | {other: code[other] for other in more[: _AT_ONCE - 1]})

    def close(self, status: str) -> None:
        if status == "running":
            return
        if self.keeps_checkpoint:
            self._send_files(self._files("checkpoints/best"))
        if self._unsure:
            self._find()
        reason = str(self._state("reason", ""))[:LONGEST_VALUE]
        self._tag({"assay.status": status} | ({"assay.reason": reason} if reason else {}))
        ended = round(1000 * float(self._state("updated", time.time())))
        self._client.set_terminated(self._id, _STATUS.get(status, "FAILED"), ended)

    def _database(self, path: Path) -> str:
        """The address of a database, which is made if it is not there.

        MLflow makes its tables in a hundred steps; where two do it at once, or one is killed, the file is of no use
        any more. So it is made whole beside the others, and is there for all in one move.
        """
        if not path.exists():
            for left in (self.run.folder / "courier").glob("mlflow.db.*"):
                left.unlink()
            # A name of its own each time: MLflow remembers in a process what it has opened.
            new = self.run.folder / "courier" / f"mlflow.db.{secrets.token_hex(4)}"
            self.mlflow.MlflowClient(f"sqlite:///{new}")
            try:
                os.link(new, path)
            except FileExistsError:
                pass  # another run was faster
            except OSError:  # a file system without links
                shutil.copy(new, path)
            new.unlink()
        return f"sqlite:///{path}"

    def _find_experiment(self, artifacts: str | None) -> str:
        name = self.experiment or self.run.project
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifacts, _KIND))
            except self.mlflow.MlflowException:  # another run may have made it just now
                if (found := self._client.get_experiment_by_name(name)) is None:
                    raise
        if found.lifecycle_stage != "active":
            raise RuntimeError(
                f"the experiment {name!r} is deleted in MLflow: restore it, or give another `experiment`"
            )
        return str(found.experiment_id)

    def _find(self) -> Any:
        """The MLflow run of this run, or None. Where a lost answer made two, the one that got nothing is deleted."""
        quoted = self.run.id.replace("'", "\\'")
        runs = self._client.search_runs([self._experiment], f"tags.`assay.run` = '{quoted}'")
        runs = sorted(runs, key=lambda run: (run.info.run_id == self._id, _last(run.data.tags)[0]), reverse=True)
        for other in runs[1:]:
            self._client.delete_run(other.info.run_id)
        return runs[0] if runs else None

    def _measured_otherwise(self, found: Any) -> bool:
        """Whether MLflow has points of records that a resume has cut from the journal."""
        last = _last(found.data.tags)
        if last[0] <= self.run.delivered:
            return False
        return not in_journal(self.run.folder, *last)

    def _create(self, tags: Mapping[str, str]) -> str:
        created = round(1000 * self.run.created) or None
        self._unsure = True
        run = self._client.create_run(self._experiment, start_time=created, tags=tags, run_name=self.run.id)
        return str(run.info.run_id)

    def _parameters(self, known: Mapping[str, str]) -> None:
        wanted = {legal(key): str(value)[:LONGEST_VALUE] for key, value in flat(self.run.config)}
        new = [self.mlflow.entities.Param(key, value) for key, value in wanted.items() if key not in known]
        for start in range(0, len(new), 100):
            self._client.log_batch(self._id, params=new[start : start + 100])
        changed = {key: value for key, value in wanted.items() if known.get(key, value) != value}
        self._tag({f"changed.{key}"[:LONGEST_NAME]: value for key, value in changed.items()})
        for key in changed.keys() - self._said:
            self._said.add(key)
            _log.warning("%s is %s now; MLflow keeps the first value and has this one as a tag", key, changed[key])

    def _catch_up(self, tags: Mapping[str, str]) -> None:
        """What the courier knows as delivered and this MLflow run has not: a new one, or a database set back."""
        last, sampled = (_last(tags, key)[0] for key in (_LAST, _SAMPLED))
        self._again(self.log, records_between(self.run, last, self.run.delivered))
        if self.shows_system:
            self._again(self.system, samples_between(self.run.folder, sampled, self.run.sampled))

    def _again(self, deliver: Callable[[Any], None], items: Iterator[Any]) -> None:
        while batch := list(islice(items, _BATCH)):
            with suppress(NotTaken):  # it was refused the first time as well, and is kept as such
                deliver(batch)

    def _point(self, name: str, value: float, seconds: float, step: int) -> Any:
        return self.mlflow.entities.Metric(legal(name), value, round(1000 * seconds), step)

    def _tag(self, tags: Mapping[str, str]) -> None:
        if tags:
            self._client.log_batch(self._id, tags=[self.mlflow.entities.RunTag(*tag) for tag in tags.items()])

    def _send(self, points: Sequence[tuple[Any, Any]], key: str, refused: dict[int, str]) -> None:
        """In one request; where the server refuses, halves, until it is known which points it is about.

        Args:
            points: records or samples with one of their points.
            key: of the tag that says how far MLflow has come.
        """
        last = points[-1][0]
        tags = [self.mlflow.entities.RunTag(key, f"{last.id} {last.time!r}")]
        try:
            self._client.log_batch(self._id, metrics=[point for _, point in points], tags=tags)
        except self.mlflow.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if self._client.get_run(self._id).info.lifecycle_stage != "active":
                raise RuntimeError(f"the run {self._id} was deleted in MLflow: it gets a new one") from error
            if len(points) == 1:
                refused[last.id] = str(error)
                return
            self._send(points[: len(points) // 2], key, refused)
            self._send(points[len(points) // 2 :], key, refused)

    def _medium(self, record: Record, name: str, kind: str, path: Path) -> None:
        """Pictures for the image grid; texts, files and the numbers of matrices and histograms under `media`."""
        if kind != "image":
            self._upload(path, f"media/{path.name}")
        if kind == "matrix":
            content = read_json(path)
            png = heat_map(content["values"], content.get("labels") or [])
        elif kind == "image":
            png = path.read_bytes()
        else:
            return
        with picture_files(record, name, png, self.run.id) as files:
            for file in files:
                self._upload(file, f"images/{file.name}")
        if "images" not in self._said:
            self._tag({"mlflow.loggedImages": "True"})
            self._said.add("images")

    def _files(self, *names: str) -> dict[str, Path]:
        """Files of the run folder, of folders all that is in them."""
        tops = [self.run.folder / name for name in names]
        paths = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]
        return {path.relative_to(self.run.folder).as_posix(): path for path in paths}

    def _send_files(self, paths: Mapping[str, Path]) -> None:
        """Those that have changed since, several at a time."""
        digests = {name: sha256_of(path) for name, path in sorted(paths.items())}
        new = {name: digest for name, digest in digests.items() if self._sent.get(name) != digest}

        def send(name: str) -> None:
            self._upload(paths[name], name)
            if name == "environment.json":
                self._tag(environment_tags(read_json(paths[name])))
            self._sent[name] = new[name]

        names = list(new)
        in_parallel(send, names[:1], 1)  # MLflow asks once where files go, and knows it for the others
        in_parallel(send, names[1:], _AT_ONCE)

    def _upload(self, path: Path, name: str) -> None:
        self._client.log_artifact(self._id, str(path), posixpath.dirname(name) or None)

    def _state(self, key: str, default: Any) -> Any:
        try:
            return read_json(self.run.folder / "status.json").get(key, default)
        except (OSError, ValueError):
            return default


def _last(tags: Mapping[str, str], key: str = _LAST) -> tuple[int, str]:
    """The last record or sample that an MLflow run has got, its id and time."""
    number, _, seconds = tags.get(key, "-1 ").partition(" ")
    return int(number), seconds
