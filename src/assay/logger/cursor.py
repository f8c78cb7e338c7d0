"""How far a logger has come: a small file in `courier/`, and what is not delivered is what follows it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assay.store.journal import JOURNAL, last_id
from assay.utils.atomic import read_json, write_json

__all__ = ["Component", "Cursor", "components", "left"]


@dataclass(frozen=True)
class Component:
    """A logger of the configuration; `name` is that of its cursor."""

    name: str
    type: str
    args: Mapping[str, Any]


def components(config: Mapping[str, Any]) -> list[Component]:
    """The loggers of a run's configuration; a second one of a type is named `type-2`."""
    found: list[Component] = []
    for entry in config.get("loggers", ()):
        type_, args = (entry, {}) if isinstance(entry, str) else (entry["type"], entry.get("args") or {})
        found.append(Component(_unused(type_, [component.name for component in found]), type_, args))
    return found


def _unused(type_: str, names: list[str]) -> str:
    name = base = re.sub(r"[^\w.-]", ".", type_)
    number = 1
    while name in names:
        number += 1
        name = f"{base}-{number}"
    return name


@dataclass
class Cursor:
    """The state of one logger.

    Args:
        type: the logger's type in the configuration.
        id: of the last record delivered, -1 for none.
        cut: bytes of `journal.cut.jsonl` then; with more by now, records that were delivered are gone.
        files: name -> sha256 of the content delivered.
        status: "waiting" (up to date so far), "retrying", "failed" (cannot be built) or "closed".
        error: why it is retrying or failed, else None.
    """

    type: str = ""
    id: int = -1
    cut: int = 0
    files: dict[str, str] = field(default_factory=dict)
    status: str = "waiting"
    error: str | None = None
    updated: float = 0.0

    @classmethod
    def load(cls, path: Path, type_: str) -> Cursor:
        """The cursor in `path`; a new one where there is none that is whole and of this type."""
        content = _content(path)
        return cls(**content) if content.get("type") == type_ else cls(type_)

    def save(self, path: Path) -> None:
        self.updated = time.time()
        write_json(path, asdict(self))


def left(folder: Path) -> dict[str, int]:
    """Records that each logger of a run has not got yet, by the name of its cursor."""
    last = last_id(folder / JOURNAL)
    configured = [component.name for component in components(read_json(folder / "config.json"))]
    others = [path.stem for path in sorted((folder / "courier").glob("*.json"))]
    paths = {name: folder / "courier" / f"{name}.json" for name in (*configured, *others)}
    return {name: max(0, last - int(_content(path).get("id", -1))) for name, path in paths.items()}


def _content(path: Path) -> dict[str, Any]:
    try:
        content = dict(read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        return {}  # no cursor, or emptied by a loss of power: everything is delivered again
    return {name: content[name] for name in Cursor.__dataclass_fields__ if name in content}
