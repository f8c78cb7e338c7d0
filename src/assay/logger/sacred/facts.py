"""A run in Sacred's words: experiment, host, configuration, result, captured output, trace of a failure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from assay.logger.base import RunInfo
from assay.logger.sacred.thinning import moment
from assay.utils.atomic import read_json

__all__ = ["captured", "ended", "fail_trace", "legal", "plotted", "read_status", "result", "started"]

_FIRST, _LAST = 64 << 10, 192 << 10  # bytes; a run's document must stay far below the 16 MiB of MongoDB
_CREDENTIALS = re.compile(r"(\w://[^\s:/@]*):[^\s@/]+@")
_LARGEST = 1 << 63


def started(run: RunInfo) -> dict[str, Any]:
    """The arguments of Sacred's `started_event` but for the id."""
    environment = _read(run.folder / "environment.json")
    git = environment.get("git") or {}
    words = [str(word) for word in environment.get("command", ())]
    repositories = [{"url": None, "commit": git["commit"], "dirty": bool(git["changed"])}] if git else []
    packages = environment.get("packages") or {}
    ex_info = {
        "name": f"{run.project}/{run.name}",
        "base_dir": environment.get("folder", ""),
        "mainfile": words[0] if words else "",
        "sources": [],
        "dependencies": [f"{name}=={version}" for name, version in packages.items()],
        "repositories": repositories,
    }
    host = {
        "hostname": environment.get("hostname", ""),
        "os": [str(environment.get("platform", "")).partition("-")[0], environment.get("platform", "")],
        "python_version": environment.get("python", ""),
        "cpu": environment.get("processor", ""),
        "cores": environment.get("cores"),
        "memory_bytes": environment.get("memory_bytes"),
        "ENV": {},
    }
    return {
        "ex_info": legal(ex_info),
        # Sacred's is one word; the whole line is in the meta information.
        "command": " ".join(Path(word).name for word in takewhile(lambda word: not word.startswith("-"), words)),
        "host_info": legal(host),
        "start_time": moment(run.created or (run.folder / "config.json").stat().st_mtime),
        "config": legal(run.config),
        "meta_info": legal({"command": shlex.join(words), "options": {}, "named_configs": [], "comment": run.id}),
    }


def read_status(run: RunInfo) -> dict[str, Any]:
    return _read(run.folder / "status.json")


def result(run: RunInfo) -> dict[str, Any] | None:
    """The best epoch's values by full name, or the last ones."""
    values = read_status(run).get("values") or {}
    found = values.get("best") or values.get("last")
    return dict(legal(found)) if found else None


def ended(run: RunInfo, last: float) -> float:
    """When the run ended, seconds since 1970: its own word, or for want of one its last sign of life `last`."""
    return max(float(read_status(run).get("updated") or 0.0), last, run.created)


def captured(run: RunInfo) -> str:
    """The beginning and the end of what the run printed, or of its log where that was not kept."""
    path = next((run.folder / name for name in ("output.log", "run.log") if (run.folder / name).is_file()), None)
    if path is None:
        return ""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        first = stream.read(_FIRST + _LAST if size <= _FIRST + _LAST else _FIRST)
        if size <= _FIRST + _LAST:
            return first.decode(errors="replace")
        stream.seek(size - _LAST)
        last = stream.read(_LAST)
    between = f"\n… {size - _FIRST - _LAST} bytes are left out here; they are in {path.name} of the run folder …\n"
    return first.decode(errors="replace") + between + last.decode(errors="replace")


def fail_trace(run: RunInfo) -> list[str]:
    """The reason, and the traceback where this failure left one."""
    status = read_status(run)
    lines = str(status.get("reason") or "the run failed").splitlines()
    crash = run.folder / "crash.txt"
    # An older one is of a failure before the last resume.
    if crash.is_file() and crash.stat().st_mtime > float(status.get("updated") or 0.0) - 60:
        lines += crash.read_text(encoding="utf-8", errors="replace").splitlines()
    return [str(legal(line)) for line in lines]


def plotted(name: str, value: float) -> tuple[str, float] | None:
    """How a number of a sample is plotted, if it is.

    Omniboard begins with all metrics of a run in one plot: beside bytes and counts no loss would be seen, and a
    line for each core would be too many.
    """
    if "/cpu_percent_by_core/" in name or "_limit_" in name:
        return None
    if name.endswith(("_percent", "_celsius", "_watts")):
        return name, value
    if name.startswith("system/run/") and name.endswith("memory_rss_bytes"):
        return f"{name.removesuffix('_bytes')}_gib", value / (1 << 30)
    if "/gpus/" in name and name.endswith("/memory_used_bytes"):
        return f"{name.removesuffix('_bytes')}_gib", value / (1 << 30)
    return None


def legal(value: Any) -> Any:
    """As MongoDB and Omniboard can keep it: keys without "." and a leading "$", integers of 64 bits, no password."""
    if isinstance(value, Mapping):
        return {_key(str(key)): legal(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [legal(part) for part in value]
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return _CREDENTIALS.sub(r"\1:***@", text)
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    return value


def _key(key: str) -> str:
    """The same replacements as Sacred's own `force_valid_bson_key`."""
    key = "@" + key[1:] if key.startswith("$") else key
    return key.replace(".", ",").replace("\0", " ")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        return {}  # not written yet, or emptied by a loss of power
