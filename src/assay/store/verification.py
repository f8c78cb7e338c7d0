"""Every file of a run held against what it says of itself and of the others. Changes nothing and needs no torch."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.errors import CheckpointError
from assay.store.journal import CUT, JOURNAL, Record, digest
from assay.store.lock import is_held
from assay.store.manifest import STATE, DamagedError, checkpoints, place, verified
from assay.store.run_folder import FINAL, RunFolder

__all__ = ["Check", "verify"]

_LINE = 1 << 26  # bytes; a record of ten thousand values has half a million


@dataclass
class Check:
    """One kind of file.

    Args:
        name: what was looked at.
        found: how much of it there is, in words.
        faults: what is wrong, each with the file's name.
    """

    name: str
    found: str = ""
    faults: list[str] = field(default_factory=list)


def verify(run: RunFolder) -> list[Check]:
    """Look at everything; what is not there is a fault only where a run always has it."""
    journal = _Journal()
    return [
        _documents(run),
        _journal(run, journal),
        _checkpoints(run, journal),
        _media(run, journal),
        _lines("system", run.system, lambda line: float(_object(line)["time"]), is_live=is_held(run.lock)),
    ]


@dataclass
class _Journal:
    """What the other checks need of it: where every line ends with the id of the next, and the files that it names."""

    ends: dict[int, int] = field(default_factory=lambda: {0: 0})
    media: dict[str, int] = field(default_factory=dict)


def _documents(run: RunFolder) -> Check:
    """The small files; `running` and `status` is of a run that was killed, or goes on."""
    check = Check("documents")
    files = [run.config, run.origin, run.status, run.environment, run.transforms, run.measurements]
    held: dict[Path, dict[str, Any]] = {}
    for path in files:
        try:
            _require_file(path)
            held[path] = _object(path.read_bytes())
        except FileNotFoundError:
            check.faults.append(f"{path.name} is missing")
        except OSError as error:
            check.faults.append(f"{path.name} cannot be read: {error.strerror}")
        except ValueError as error:
            check.faults.append(f"{path.name} is damaged: {error}")
    with contextlib.suppress(OSError):  # told above
        check.faults += [f"{path.name} is not as the run has written it" for path in run.unsealed()]
    if run.status in held and not run.is_status_whole():
        check.faults.append(f"{run.status.name} is not as the run has written it")
    state = held.get(run.status, {}).get("state", "running")
    if state not in (*FINAL, "running"):
        check.faults.append(f"{run.status.name} has the state {state!r}, expected running or one of {', '.join(FINAL)}")
    check.found = f"{len(held)} of {len(files)}"
    return check


def _journal(run: RunFolder, journal: _Journal) -> Check:
    """Every line, ids that go up by one, and each step once in a phase."""
    seen: defaultdict[str, set[int]] = defaultdict(set)
    expected = 0
    at = 0

    def look(line: bytes) -> None:
        nonlocal expected, at
        record = Record.parse(line)
        at += len(line)
        journal.ends[at] = record.id + 1
        number, expected = expected, record.id + 1
        for entry in record.media.values():
            journal.media.setdefault(str(entry["path"]), record.id)
        if record.id != number:
            raise ValueError(f"it has the id {record.id}, expected {number}")
        if record.step in seen[record.phase]:
            raise ValueError(f"it measures step {record.step} of {record.phase} again")
        seen[record.phase].add(record.step)

    check = _lines("journal", run.journal, look, is_live=is_held(run.lock))
    check.faults += _lines("cut", run.path / CUT, Record.parse).faults
    return check


def _checkpoints(run: RunFolder, journal: _Journal) -> Check:
    """Every file by its sum, the links, and the place in the journal."""
    check = Check("checkpoints")
    found = checkpoints(run.checkpoints)
    for path in found:
        try:
            manifest = verified(path)
            check.faults += [f"{path.name}: {fault}" for fault in _place_in(journal, path, STATE in manifest.files)]
        except DamagedError as error:
            check.faults.append(f"{path.name} is damaged: {error}")
        except CheckpointError as error:
            check.faults.append(error.message)
    for name in ("best", "last"):
        link = run.checkpoints / name
        if link.is_symlink():
            text = os.readlink(link)
            if not place(Path(text)) or run.checkpoints / text not in found:
                check.faults.append(f"{name} leads to {text}, which is no checkpoint")
        elif link.exists():
            check.faults.append(f"{name} is no link")
    check.found = f"{len(found)}"
    return check


def _place_in(journal: _Journal, path: Path, has_state: bool) -> Iterator[str]:
    try:
        position = _object((path / STATE).read_bytes())["journal"] if has_state else None
        offset, number = position["offset"], position["next_id"]  # type: ignore[index]
    except (OSError, ValueError, KeyError, TypeError):
        yield f"{STATE} does not say where the journal ended"
        return
    with contextlib.suppress(OSError):  # told elsewhere
        expected = position.get("sha256")  # type: ignore[union-attr]  # a dictionary, as it was read above
        if expected is not None and digest(path.parents[1] / JOURNAL, offset) != expected:
            yield f"the journal up to byte {offset} is not what it was when this was saved"
    if journal.ends.get(offset) != number:
        held = journal.ends.get(offset)
        where = "where no line of the journal ends" if held is None else f"where record {held} follows"
        yield f"{STATE} names byte {offset} and record {number}, {where}"


def _media(run: RunFolder, journal: _Journal) -> Check:
    check = Check("media", f"{len(journal.media)}")
    for name, record in journal.media.items():
        path = run.path / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            check.faults.append(f"record {record} names {name!r}, which is not in the run folder")
        elif not path.is_file():
            check.faults.append(f"{name}, of record {record}, is missing")
    return check


def _lines(name: str, path: Path, look: Callable[[bytes], object], *, is_live: bool = False) -> Check:
    """Each line of a file; the last may be half there while it is being written."""
    check = Check(name)
    count = 0
    try:
        _require_file(path)
        with path.open("rb") as stream:
            while line := stream.readline(_LINE):
                count += 1
                if not line.endswith(b"\n"):
                    if not is_live:
                        check.faults.append(f"line {count} of {path.name} is torn")
                    break
                try:
                    look(line)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    check.faults.append(f"line {count} of {path.name}: {str(error) or type(error).__name__}")
    except FileNotFoundError:
        pass  # a run of an instant has measured nothing
    except OSError as error:
        check.faults.append(f"{path.name} cannot be read: {error.strerror}")
    check.found = f"{count} line{'' if count == 1 else 's'}"
    return check


def _require_file(path: Path) -> None:
    """
    Raises:
        OSError: there is something else: to open a pipe would wait for ever.
    """
    if not path.is_file():
        code = errno.EINVAL if os.path.lexists(path) else errno.ENOENT
        raise OSError(code, "it is no file" if code == errno.EINVAL else os.strerror(code))


def _object(content: bytes) -> dict[str, Any]:
    """
    Raises:
        ValueError: it is no JSON, or no object.
    """
    held = orjson.loads(content)
    if not isinstance(held, dict):
        raise ValueError(f"it holds a {type(held).__name__}, expected an object")
    return held
