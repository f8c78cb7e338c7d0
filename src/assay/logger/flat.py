"""A configuration as names with plain values, for trackers that show a table of parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["flat"]


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """("model.args.width", 16), …; lists of plain values as one text, nulls left out.

    >>> dict(flat({"model": {"args": {"blocks": [1, 2], "width": None}}, "metrics": [{"type": "F1"}]}))
    {'model.args.blocks': '[1, 2]', 'metrics.0.type': 'F1'}
    """
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from flat(part, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from flat(part, f"{key}.{index}")
    elif value is not None:
        yield key, json.dumps(value) if isinstance(value, list) else value
