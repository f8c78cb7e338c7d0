"""The folder of one run: where everything that a run leaves has its place."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ConfigError, Problem, StorageError
from assay.utils.atomic import as_json, read_json, storing, write_bytes, write_json
from assay.utils.digest import sha256_of
from assay.utils.secrets import conceal

__all__ = ["RunFolder", "find_run"]

FINAL = ("completed", "interrupted", "failed")


class RunFolder:
    """Paths and small records of a run; see the README for what each file holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.origin = path / "config.origin.json"
        self.status = path / "status.json"
        self.environment = path / "environment.json"
        self.transforms = path / "transforms.json"
        self.measurements = path / "measurements.json"
        self.journal = path / "journal.jsonl"
        self.system = path / "system.jsonl"
        self.code = path / "code"
        self.checkpoints = path / "checkpoints"
        self.media = path / "media"
        self.courier = path / "courier"
        self.lock = path / "run.lock"
        self.log = path / "run.log"
        self.output = path / "output.log"

    @classmethod
    def create(cls, base: Path, project: str, name: str) -> RunFolder:
        """Make a new folder `base/project/name-timestamp-id`; two runs never share one.

        Raises:
            StorageError: the folder cannot be made.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        try:
            (base / project).mkdir(parents=True, exist_ok=True)
            while True:
                path = base / project / f"{name}-{stamp}-{secrets.token_hex(3)}"
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                break
            run = cls(path)
            for folder in (run.checkpoints, run.media, run.courier):
                folder.mkdir()
        except OSError as error:
            raise StorageError.writing(base / project, error) from error
        return run

    def write_status(self, state: str, **facts: Any) -> None:
        """Replace status.json: `state` is running, completed, interrupted or failed; the other facts are kept.

        Raises:
            StorageError: the disk refuses; the status before is as it was.
        """
        if "reason" in facts:
            facts["reason"] = conceal(str(facts["reason"]))
        try:
            before = self.read_status()
        except (ValueError, TypeError):  # damaged: this one is whole
            before = {}
        before.pop("sum", None)
        status = {**before, "state": state, **facts, "updated": time.time()}
        with storing(self.status):
            write_json(self.status, {**status, "sum": _sum(status)})

    def read_status(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.status))
        except FileNotFoundError:
            return {}

    def seal(self) -> None:
        """Keep the sums of the files that say what the run is: nobody but the run itself changes them."""
        self.write_status("running", documents={path.name: sha256_of(path) for path in self._sealed()})

    def write_measurements(self, facts: dict[str, Any]) -> None:
        """Replace measurements.json and the sum of it. A kill may come between the two: the sum before counts too.

        Raises:
            StorageError: the disk refuses.
        """
        content = as_json(facts)
        status = self.read_status()
        documents = dict(status.get("documents", {}))
        before = documents.get(self.measurements.name, "").rpartition(" ")[2]
        documents[self.measurements.name] = f"{before} {hashlib.sha256(content).hexdigest()}".strip()
        self.write_status(status.get("state", "running"), documents=documents)
        with storing(self.measurements):
            write_bytes(self.measurements, content)

    def is_status_whole(self) -> bool:
        """Whether status.json is as `write_status` has written it; one that cannot be read is not.

        Raises:
            OSError: it is not there.
        """
        try:
            status = dict(read_json(self.status))
        except (ValueError, TypeError):
            return False
        return bool(status.pop("sum", "") == _sum(status))

    def unsealed(self) -> list[Path]:
        """Those of these files that are not as the run wrote them."""
        try:
            sums = dict(self.read_status().get("documents", {}))
        except (ValueError, TypeError):  # damaged: nothing is known of them
            return []
        return [
            path
            for path in self._sealed()
            if path.is_file() and (held := sums.get(path.name, "")) and sha256_of(path) not in held.split()
        ]

    def _sealed(self) -> tuple[Path, ...]:
        return self.config, self.origin, self.environment, self.transforms, self.measurements

    def read_config(self) -> dict[str, Any]:
        """
        Raises:
            ConfigError: it is missing or damaged.
        """
        try:
            return dict(read_json(self.config))
        except (OSError, ValueError, TypeError) as error:
            problem = Problem(f"{self.config} cannot be read", found=str(error), hint=f"assay verify {self.path}")
            raise ConfigError.of(problem) from error

    def write_log(self, text: str) -> None:
        """
        Raises:
            StorageError: the disk refuses.
        """
        with storing(self.log), self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {conceal(text)}\n")

    def try_log(self, text: str) -> None:
        """The same, of what may be left out where the disk refuses."""
        with contextlib.suppress(StorageError):
            self.write_log(text)


def _sum(status: dict[str, Any]) -> str:
    """Of what is read again: NaN is written as null."""
    return hashlib.sha256(as_json(orjson.loads(as_json(status)))).hexdigest()


def find_run(text: str, base: Path = Path("saved")) -> RunFolder:
    """The run that `text` names: a path, the folder's name (or project/name) or the beginning or end of it, or `last`.

    Raises:
        ConfigError: no run, or more than one, has that name.
    """
    path = Path(text)
    if (path / "config.json").is_file():
        return RunFolder(path)
    every = sorted(base.glob("*/*/config.json"), key=lambda file: file.stat().st_mtime)
    folders = [file.parent for file in every]
    if text == "last" and folders:
        return RunFolder(folders[-1])
    known = {folder: (folder.name, f"{folder.parent.name}/{folder.name}") for folder in folders}
    found = [folder for folder, named in known.items() if any(n.startswith(text) or n.endswith(text) for n in named)]
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        names = ", ".join(folder.name for folder in found[:5])
        problem = Problem(f"{len(found)} runs are named {text!r}", found=names, hint="give the path of one")
    else:
        kept = path if path.is_dir() else base
        problem = Problem(f"no run is named {text!r}", found=f"looked in {kept.resolve()}", hint="see `assay runs`")
    raise ConfigError.of(problem)
