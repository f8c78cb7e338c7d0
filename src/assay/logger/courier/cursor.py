"""How far a logger has come: a small file in `courier/`, and what is not delivered is what follows it."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assay.utils.atomic import read_json, write_json

__all__ = ["Component", "Cursor", "components", "unused"]


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
        found.append(Component(unused(type_, [component.name for component in found]), type_, args))
    return found


def unused(type_: str, names: Collection[str]) -> str:
    """A name for a cursor of this type that is none of `names`."""
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
        args: its arguments, with references as they are written.
        id: of the last record delivered, -1 for none.
        had: after a resume, the last record that was delivered before it: records up to there that measure the
            same again are not delivered again. -1 where nothing was taken back.
        cut: bytes of `journal.cut.jsonl` that are accounted for; with more by now, records that were delivered are
            gone.
        sample: id of the last line of `system.jsonl` delivered, -1 for none.
        safe: the last record that surely is safe at the far end, and the last sample; None: all that was delivered.
        files: name -> sha256 of the content delivered.
        refused: how many records and samples the far end has refused for good.
        status: "waiting" (up to date so far), "retrying", "failed" (cannot be built) or "closed".
        error: why it is retrying or failed, else None.
    """

    type: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    id: int = -1
    had: int = -1
    cut: int = 0
    sample: int = -1
    safe: list[int] | None = None
    files: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    status: str = "waiting"
    error: str | None = None
    updated: float = 0.0

    @classmethod
    def load(cls, path: Path, type_: str = "") -> Cursor:
        """The cursor in `path`; a new one where there is none that is whole and, if a type is given, of it."""
        try:
            content = dict(read_json(path))
            cursor = cls(**{name: content[name] for name in cls.__dataclass_fields__ if name in content})
        except (FileNotFoundError, ValueError, TypeError):
            return cls(type_)  # none, or emptied by a loss of power: everything is delivered again
        return cursor if type_ in ("", cursor.type) else cls(type_)

    def save(self, path: Path) -> None:
        self.updated = time.time()
        write_json(path, asdict(self))
