"""What a run ran on and with: versions, hardware, git, the command line, and a copy of the sources."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from assay.utils.digest import sha256_of
from assay.utils.secrets import conceal, concealed_source

__all__ = ["changed_code", "code_digests", "environment", "package_digest", "processor", "snapshot_code"]

_LARGEST_SOURCE = 1 << 20
# Files that hold secrets by their nature.
_NOT_IN_DIFF = (":(exclude,glob)**/.env*", ":(exclude,glob)**/*.pem", ":(exclude,glob)**/*.key")


def environment(root: Path) -> dict[str, Any]:
    """Facts about the software, the machine, the project's git state and the command line.

    Environment variables are left out on purpose: they hold secrets. What the command line holds of these is hidden.
    """
    return {
        "command": [conceal(word) for word in sys.argv],
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "packages": _packages(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "processor": processor(),
        "cores": {"physical": psutil.cpu_count(logical=False), "logical": psutil.cpu_count()},
        "memory_bytes": psutil.virtual_memory().total,
        "git": _git_state(root),
    }


def snapshot_code(root: Path, folder: Path, extra: tuple[Path, ...] = ()) -> list[str]:
    """Copy the project's modules that this process imported, `extra` files and the uncommitted diff into `folder`.

    A copy is the file to the byte, but where it holds a password that is known, or one in a URL: there it says `***`
    or `${env:NAME}`.

    Returns:
        The names of the copies, relative to `folder`.
    """
    copied = []
    for source in sorted({*_project_sources(root), *(path.resolve() for path in extra)}):
        if not source.is_file() or source.stat().st_size > _LARGEST_SOURCE:
            continue
        relative = source.relative_to(root) if source.is_relative_to(root) else Path("elsewhere", source.name)
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
        copied.append(str(relative))
    diff = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", ".", *_NOT_IN_DIFF)
    if diff:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "uncommitted.diff").write_text(concealed_source(diff), encoding="utf-8", errors="surrogateescape")
        copied.append("uncommitted.diff")
    return copied


def code_digests(root: Path) -> dict[str, str]:
    """The SHA-256 of the project's modules that this process imported, by their paths below `root`; assay's own, where
    it is developed in the project, are left out.
    """
    own = Path(__file__).parents[1]
    sources = sorted(path for path in _project_sources(root) if not path.is_relative_to(own))
    return {str(path.relative_to(root)): sha256_of(path) for path in sources if path.is_file()}


def changed_code(root: Path, before: Mapping[str, str]) -> list[str]:
    """Those of the files of `code_digests` that are no longer what they were, or no longer there.

    Files that are new are none of them: which modules are imported at the moment depends on more than the code.
    """
    changed = []
    for name, digest in before.items():
        path = root / name
        if not path.is_file() or sha256_of(path) != digest:
            changed.append(name)
    return changed


@lru_cache(maxsize=1)
def package_digest() -> str:
    """Of assay's own sources: a version that is developed keeps its number."""
    folder = Path(__file__).parents[1]
    digests = [f"{path.relative_to(folder)} {sha256_of(path)}" for path in sorted(folder.rglob("*.py"))]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


def _copy(source: Path, target: Path) -> None:
    text = source.read_bytes().decode("utf-8", "surrogateescape")
    shown = concealed_source(text)
    if shown == text:
        shutil.copyfile(source, target)
    else:
        target.write_bytes(shown.encode("utf-8", "surrogateescape"))


def _project_sources(root: Path) -> set[Path]:
    """Files of imported modules under `root`, those of virtual environments left out."""
    installed = [f"{Path(path).resolve()}/" for path in {*sysconfig.get_paths().values(), sys.prefix}]
    places = tuple(place for place in installed if Path(place) != root)
    sources = set()
    for module in list(sys.modules.values()):
        file = str(getattr(module, "__file__", None) or "")
        # Thousands of modules of installed packages: text decides before the file system is asked.
        if file.endswith(".py") and "/site-packages/" not in file and not file.startswith(places):
            path = Path(file).resolve()
            if path.is_relative_to(root):
                sources.add(path)
    return sources


@lru_cache(maxsize=1)
def _packages() -> dict[str, str]:
    facts = [distribution.metadata for distribution in importlib.metadata.distributions()]
    return dict(sorted((fact["Name"], fact["Version"]) for fact in facts if "Name" in fact))


def _git(root: Path, *arguments: str) -> str:
    """What git prints, or an empty string where there is no git or no repository."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=environment,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _git_state(root: Path) -> dict[str, Any] | None:
    commit = _git(root, "rev-parse", "HEAD").strip()
    if not commit:
        return None
    changed = _git(root, "status", "--porcelain").splitlines()
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    return {"commit": commit, "branch": branch, "changed": changed}


def processor() -> str:
    """The model of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the general answer below is all there is
    return platform.processor()
