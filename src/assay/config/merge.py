"""One configuration over another: mappings merge, lists replace, null deletes, a new type starts afresh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.config.document import At, Document, dotted
from assay.errors import ConfigError, Place, Problem

__all__ = ["Layers", "assignment"]

# What shows that a mapping is a component, so that a bare name below it is one too.
_OF_COMPONENTS = frozenset({"type", "args", "unit", "priority", "groups", "weights"})


class _Patch(dict[str, Any]):
    """A mapping on the way to a value that is set by itself; over a list its one key is an index."""


def assignment(parts: Sequence[str], value: Any, place: Place) -> Document:
    """A document that sets one value: everything in it stands at `place`."""
    for part in reversed(parts):
        value = _Patch({part: value})
    everywhere: defaultdict[At, Place] = defaultdict(lambda: place)
    return Document(value, everywhere, everywhere)


@dataclass
class Layers:
    """The configuration so far, the places in it, and what each value replaced (oldest first)."""

    data: Any = field(default_factory=dict)
    values: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    replaced: dict[At, list[tuple[Any, Place]]] = field(default_factory=dict)

    def lay(self, top: Document) -> None:
        """Lay `top` over what is there.

        Raises:
            ConfigError: it sets a member that a list does not have, or something inside a plain value.
        """
        # What is missing is missing in a file, and not in a setting, unless that deletes it.
        if not isinstance(top.data, _Patch) or None in top.data.values():
            self.values[()] = top.values[()]
        self.values.setdefault((), top.values[()])
        self.data = self._merged(self.data, top.data, (), top)

    def _merged(self, base: Any, top: Any, at: At, document: Document) -> Any:
        if isinstance(base, str) and isinstance(top, dict):
            if (isinstance(top, _Patch) and "${" not in base) or not _OF_COMPONENTS.isdisjoint(top):
                self.values[*at, "type"] = self.keys[*at, "type"] = self.values[at]
                base = {"type": base}
        elif isinstance(base, dict) and isinstance(top, str) and isinstance(base.get("type"), str):
            document.values[*at, "type"] = document.keys[*at, "type"] = document.values[at]
            top = {"type": top}
        if isinstance(base, list) and isinstance(top, _Patch):
            return self._item_set(base, top, at, document)
        if isinstance(top, _Patch) and base is not None and not isinstance(base, dict):
            place = document.values[at]
            raise ConfigError.of(
                Problem(f"nothing can be set inside {dotted(at)}", place, dotted(at), f"{base!r:.60}", "an object")
            )
        if not (isinstance(base, dict) and isinstance(top, dict)) or _is_another(base, top):
            if at in self.values:
                self._remember(at, base)
            return self._adopted(top, at, document)
        made = dict(base)
        for key, item in top.items():
            inside = (*at, key)
            if key not in base:
                made[key] = self._adopted(item, inside, document)
            elif item is None:
                self._remember(inside, base[key])
                del made[key]
            else:
                made[key] = self._merged(base[key], item, inside, document)
        return made

    def _item_set(self, base: list[Any], top: _Patch, at: At, document: Document) -> list[Any]:
        ((part, item),) = top.items()
        index = int(part) if part.isascii() and part.isdecimal() and len(part) < 9 else -1
        place = document.values[at]
        if not 0 <= index <= len(base):
            expected = f"0 to {len(base) - 1}, or {len(base)} for one more" if base else "0 for the first"
            key = dotted((*at, part))
            raise ConfigError.of(Problem(f"{dotted(at)} is a list of {len(base)}", place, key, part, expected))
        if item is None:
            hint = f"set the whole list: --set {dotted(at)}=[…]"
            problem = Problem("null does not delete from a list", place, dotted((*at, index)), hint=hint)
            raise ConfigError.of(problem)
        inside = (*at, index)
        if index == len(base):
            return [*base, self._adopted(item, inside, document)]
        return [*base[:index], self._merged(base[index], item, inside, document), *base[index + 1 :]]

    def _adopted(self, value: Any, at: At, document: Document) -> Any:
        """The value as plain data, with the places of all that is in it."""
        for path in _paths(value, at):
            self.values[path] = document.values[path]
            if path and isinstance(path[-1], str):
                self.keys[path] = document.keys[path]
        return _plain(value)

    def _remember(self, at: At, value: Any) -> None:
        """Note what stood here, and forget the places in it."""
        self.replaced.setdefault(at, []).append((value, self.values[at]))
        for path in _paths(value, at):
            self.values.pop(path, None)
            self.keys.pop(path, None)


def _is_another(base: dict[str, Any], top: dict[str, Any]) -> bool:
    return "type" in base and "type" in top and base["type"] != top["type"]


def _paths(value: Any, at: At) -> Iterator[At]:
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*at, index))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
