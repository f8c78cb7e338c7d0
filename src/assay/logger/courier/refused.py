"""What a far end refuses for good, with the reason, in `courier/NAME.refused.jsonl`: nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from assay.store.journal import Record, encoded
from assay.store.samples import Sample
from assay.utils.secrets import conceal

__all__ = ["Refusals"]


class Refusals:
    """The dead letters of one logger, each once, whichever call comes twice.

    Args:
        path: of the file; made with the first of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[str, int]] | None = None

    def keep(self, items: Sequence[Record] | Sequence[Sample], reasons: Mapping[int, str]) -> int:
        """Write down those that `reasons` names, and return how many of them are new.

        Raises:
            OSError: the disk refuses.
        """
        known = self._load()
        lines = []
        for item in items:
            kind = "record" if isinstance(item, Record) else "sample"
            if item.id in reasons and (kind, item.id) not in known:
                known.add((kind, item.id))
                content = asdict(item)
                if isinstance(item, Record):
                    content["values"] = {name: encoded(value) for name, value in item.values.items()}
                line = {"kind": kind, "id": item.id, "reason": conceal(str(reasons[item.id])), kind: content}
                lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if lines:
            with self.path.open("ab", buffering=0) as stream:
                stream.write(b"".join(lines))
        return len(lines)

    def _load(self) -> set[tuple[str, int]]:
        if self._known is None:
            self._known = set()
            if self.path.exists():
                for line in self.path.read_bytes().splitlines():
                    try:
                        fields = orjson.loads(line)
                        self._known.add((fields["kind"], fields["id"]))
                    except (ValueError, TypeError, KeyError):
                        continue  # torn by a full disk
        return self._known
