"""Where each value of a configuration came from, and what it replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assay.config.document import At, dotted
from assay.config.load import Source
from assay.errors import Place

__all__ = ["as_written", "leaves", "origin"]

_NOTHING = object()


def origin(complete: dict[str, Any], source: Source) -> dict[str, dict[str, Any]]:
    """For every leaf of the complete configuration: its value, where it stands, what it replaced.

    >>> origin({"seed": 0}, Source({}))
    {'seed': {'value': 0, 'from': 'default'}}
    """
    made: dict[str, dict[str, Any]] = {}
    for at, value in leaves(complete):
        place = _place(source, at)
        entry: dict[str, Any] = {"value": value, "from": str(place) if place else "default"}
        replaced = [{"value": old, "from": str(where)} for old, where in _replaced(source, at)]
        made[dotted(at)] = {**entry, "replaced": replaced} if replaced else entry
    return made


def as_written(complete: Any, source: Source, at: At = ()) -> Any:
    """The complete configuration as it has to be written to be read so again: without what the environment held."""
    if isinstance(complete, dict):
        return {key: as_written(item, source, (*at, key)) for key, item in complete.items()}
    if isinstance(complete, list):
        return [as_written(item, source, (*at, index)) for index, item in enumerate(complete)]
    return next((text for path in _paths(source, at) if (text := source.written.get(path)) is not None), complete)


def leaves(value: Any, at: At = ()) -> Iterator[tuple[At, Any]]:
    """Every plain value, and every empty object or list, with its path."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*at, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*at, index))
    else:
        yield at, value


def _place(source: Source, at: At) -> Place | None:
    return next((source.places[path] for path in _paths(source, at) if path in source.places), None)


def _paths(source: Source, at: At) -> Iterator[At]:
    """Where a value of the complete configuration may be written, the likeliest first."""
    yield at
    # A bare name stands for {"type": name}; the validation transforms may be those of test.
    if at and at[-1] == "type" and isinstance(_dig(source.data, at[:-1]), str):
        yield at[:-1]
    if at[:3] == ("data", "transforms", "validation") and at[:3] not in source.places:
        yield from _paths(source, ("data", "transforms", "test", *at[3:]))


def _replaced(source: Source, at: At) -> Iterator[tuple[Any, Place]]:
    """What stood here before, also inside something that was replaced as a whole."""
    for depth in range(len(at) + 1):
        for old, place in source.replaced.get(at[:depth], ()):
            inside = _dig(old, at[depth:])
            if inside is not _NOTHING and not (depth < len(at) and isinstance(inside, dict | list)):
                yield inside, place


def _dig(value: Any, at: At) -> Any:
    for part in at:
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, dict) and part in value):
            value = value[part]
        elif isinstance(value, str) and part == "type":
            continue
        else:
            return _NOTHING
    return value
