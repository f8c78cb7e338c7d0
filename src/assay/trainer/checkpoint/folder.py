"""The checkpoints of one run: saved, kept and removed, and found again.

Nothing that is older is touched before the new one is on the disk, was read again and found whole. What is removed
goes out of sight in one move first. Read: newest first, the first that verifies; a damaged one is named. `best` and
`last` are links to a checkpoint, not copies, and are replaced in one move.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import CheckpointError, StorageError, room
from assay.store.manifest import DamagedError, Manifest, checkpoints, place, stamp, verified
from assay.trainer.checkpoint.reading import Checkpoint, opened
from assay.trainer.checkpoint.writing import NoRoomError, Parts, publish, size_of
from assay.utils.atomic import fsync_folder

__all__ = ["Checkpoints"]

_LINKS = ("best", "last")


class Checkpoints:
    """
    Args:
        folder: `checkpoints/` of the run.
        keep_last: how many of the newest that verify are kept; never fewer than two, for one may be damaged later.
        keep_best: how many of the best are kept.
        direction: `min` or `max`, of the monitored value that each is saved with.
    """

    def __init__(self, folder: Path, keep_last: int = 2, keep_best: int = 1, direction: str = "min") -> None:
        self.folder = folder
        self.keep_last = max(2, keep_last)
        self.keep_best = max(1, keep_best)
        self.direction = direction
        self.since = 0
        """Values of checkpoints up to this step are of another measure."""
        self.tell: Callable[[str], None] = lambda text: None
        self._whole: dict[Path, tuple[tuple[Any, ...], Manifest]] = {}

    def save(
        self,
        step: int,
        tensors: Mapping[str, Any] | Parts,
        state: Mapping[str, Any],
        value: float | None = None,
        *,
        best: bool = False,
        **facts: Any,
    ) -> Path:
        """Write one checkpoint and remove those that are no longer kept.

        Args:
            tensors: by file, or the parts of several processes.
            facts: what else the manifest says: `epoch`, `batch`, `samples`, `monitor`.

        Raises:
            StorageError: it could not be written; the older ones are as they were.
        """
        parts = tensors if isinstance(tensors, Parts) else Parts(tensors)
        target = self._free_name(step)
        facts = {"step": step, "epoch": 0, "batch": 0, "samples": 0, "value": value, **facts}
        try:
            publish(target, parts, state, facts)
            if self._looked_at(target) is None:
                shutil.rmtree(self._out_of_sight(target), ignore_errors=True)
                raise OSError("what was read again is not what was written")
        except OSError as error:
            needed = size_of(parts.rest) + parts.bytes
            raise self._refused(f"could not save {target.name} to {self.folder}", error, needed) from error
        try:
            for name in ("best", "last") if best else ("last",):
                self._link(name, target.name)
            fsync_folder(self.folder)
            self.retain(target)
        except OSError as error:
            what = f"{target.name} is saved to {self.folder}, but the names or the older ones could not be changed"
            raise self._refused(what, error, size_of({})) from error
        return target

    def load(self, name: str) -> Checkpoint:
        """The checkpoint of that name (`best`, `last` or `step-…`); there is no falling back from a name.

        Raises:
            CheckpointError: it is not there or does not verify.
        """
        path = self._named(name)
        if path is None:
            never = name == "best" and not (self.folder / name).is_symlink()
            hint = "no validation had a finite value to be the best; name another, such as last" if never else ""
            raise CheckpointError(f"no checkpoint {name!r} in {self.folder}", hint, found=self._good())
        try:
            return opened(path)
        except DamagedError as error:
            where, good = str(path), f"one that is whole: {self._good()}"
            raise CheckpointError(f"checkpoint {name!r} is damaged: {error}", f"name {good}", where) from error

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that verifies, and what is wrong with the newer ones; nothing is changed.

        Raises:
            CheckpointError: there are some and none verifies, or a newer version wrote one; a run never starts from
                scratch on its own.
        """
        faults: list[str] = []
        for path in reversed(self.all()):
            try:
                found = opened(path)
                if faults:
                    lost = (place(self.all()[-1]) or (found.step,))[0] - found.step
                    steps = f"{lost} step{'' if lost == 1 else 's'} {'is' if lost == 1 else 'are'}"
                    faults[-1] += f"; {path.name} is used in its place, and {steps} made again"
                return found, faults
            except DamagedError as error:
                faults.append(f"{path.name} is damaged: {error}")
        faults += [
            f"{name} is a link to nothing" for name in _LINKS if (self.folder / name).is_symlink() and not faults
        ]
        if faults:
            raise CheckpointError(
                f"{len(faults)} checkpoint{'s' if len(faults) > 1 else ''} in {self.folder} and none can be used",
                found="; ".join(faults),
                hint="nothing was changed; start a new run to begin anew",
            )
        return None, []

    def relink(self, best: int, last: int) -> None:
        """Let `best` and `last` name what a restored run says: a kill can come between a save and its names."""
        for name, step in (("best", best), ("last", last)):
            whole = [path for path in self.all() if (place(path) or (0,))[0] == step and self._looked_at(path)]
            if whole and self._target(name) != whole[-1]:
                self._link(name, whole[-1].name)

    def forget_best(self) -> None:
        """No checkpoint is the best any more; each is still there."""
        (self.folder / "best").unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what a kill in the middle of a save or of a removal left; only while the run is locked."""
        for path in (*self.folder.glob(".tmp-*"), *self.folder.glob(".trash-*")):
            shutil.rmtree(path, ignore_errors=True)
        for name in _LINKS:
            for path in self.folder.glob(f".{name}-*"):
                path.unlink(missing_ok=True)

    def all(self) -> list[Path]:
        """All checkpoints, oldest first, damaged ones too; links and temporary ones are not among them."""
        return checkpoints(self.folder)

    def _free_name(self, step: int) -> Path:
        taken = [at[1] for at in map(place, self.all()) if at and at[0] == step]
        return self.folder / (f"step-{step:08d}" + (f"-{max(taken) + 1}" if taken else ""))

    def _named(self, name: str) -> Path | None:
        if name in _LINKS:
            return self._target(name)
        at = place(Path(name))
        return next((path for path in self.all() if at and place(path) == at and path.name == name), None)

    def _target(self, name: str) -> Path | None:
        """Where a link leads: to a checkpoint beside it, or nowhere."""
        try:
            text = os.readlink(self.folder / name)
        except OSError:
            return None
        path = self.folder / text
        return path if place(Path(text)) and os.sep not in text and path.is_dir() else None

    def _looked_at(self, path: Path) -> Manifest | None:
        """The manifest where the checkpoint is whole; it is read again when anything of it was touched since."""
        try:
            now = stamp(path)
            before = self._whole.get(path)
            if before is None or before[0] != now:
                self._whole[path] = (now, verified(path))
            return self._whole[path][1]
        except (OSError, DamagedError, CheckpointError):
            return None

    def _good(self) -> str:
        return ", ".join(path.name for path in self.all() if self._looked_at(path)) or "none"

    def retain(self, fresh: Path | None = None) -> None:
        """Remove all but the newest, the best, and what the links name; damaged ones take no other's place.

        Args:
            fresh: one that was read again just now.

        Raises:
            OSError: the disk refuses.
        """
        found = [(path, self._whole[path][1] if path == fresh else self._looked_at(path)) for path in self.all()]
        whole = {path: manifest for path, manifest in found if manifest}
        latest = {manifest.step: path for path, manifest in whole.items()}  # of one step the newest
        newest = list(latest.values())[-self.keep_last :]
        if not newest:
            return
        judged = [
            (value, path)
            for step, path in latest.items()
            if (value := whole[path].value) is not None and step > self.since
        ]
        ranked = sorted(judged, key=lambda entry: entry[0], reverse=self.direction == "max")
        kept = {*newest, *(path for _, path in ranked[: self.keep_best]), *map(self._target, _LINKS)}
        for path, manifest in found:
            if path not in kept and (manifest or (place(path) or (0,)) < (place(newest[0]) or (0,))):
                if manifest is None:
                    others = ", ".join(one.name for one in newest)
                    self.tell(f"{path.name} is damaged and is removed; newer ones that are whole: {others}")
                remains = self._out_of_sight(path)
                shutil.rmtree(remains) if remains.is_dir() and not remains.is_symlink() else remains.unlink()

    def _out_of_sight(self, path: Path) -> Path:
        # In one move: a kill in the middle of deleting must not leave half a checkpoint.
        trash = self.folder / f".trash-{path.name}-{secrets.token_hex(3)}"
        path.rename(trash)
        self._whole.pop(path, None)
        return trash

    def _link(self, name: str, target: str) -> None:
        temporary = self.folder / f".{name}-{secrets.token_hex(3)}"
        temporary.symlink_to(target)
        try:
            temporary.replace(self.folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _refused(self, what: str, error: OSError, needed: int) -> StorageError:
        reason = str(error) if isinstance(error, NoRoomError) else error.strerror or str(error)
        found = "" if isinstance(error, NoRoomError) else room(self.folder, needed)
        kept = ", ".join(path.name for path in self.all()[-self.keep_last :] if self._looked_at(path))
        hint = f"free some space; {kept} kept" if kept else "free some space; no other checkpoint is there"
        return StorageError(f"{what}: {reason}", hint, found=found)
