"""Classes and objects of Python that stand in a configuration where a name would."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from assay.config.components import Allowed

__all__ = ["SLOTS", "with_objects"]

# The words of `assay.train(config, model=...)`, and where each belongs in the configuration.
SLOTS = {
    "dataset": ("data", "dataset"),
    "loader": ("data", "loader"),
    "model": ("model",),
    "loss": ("loss",),
    "metrics": ("metrics",),
    "optimizer": ("optimizer",),
    "schedulers": ("schedulers",),
    "trainer": ("trainer",),
    "loggers": ("loggers",),
}


def with_objects(
    config: Mapping[str, Any], components: Mapping[str, Any], allowed: Allowed
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration of plain values, and the objects that its names starting with `python:` stand for.

    What stands for a component replaces the whole of it, its `args` included, as everywhere where the type changes; to
    give arguments, write `{"type": MyNet, "args": {...}}`.

    A class that can be imported from the project by its path keeps its path, so that the run stays reproducible from
    its folder; a class or object of a notebook cannot.
    """
    objects: dict[str, Any] = {}
    plain = _plain(config, objects, allowed)
    for word, value in components.items():
        *sections, last = SLOTS[word]
        place = plain
        for section in sections:
            place = place.setdefault(section, {})
        before = place.get(last)
        made = _component(value, objects, allowed)
        if isinstance(made, dict) and isinstance(before, Mapping) and "type" not in before:
            made = {**before, **made}
        place[last] = made
    return plain, objects


def _plain(value: Any, objects: dict[str, Any], allowed: Allowed) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item, objects, allowed) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, objects, allowed) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if inspect.isclass(value) or inspect.isfunction(value):
        return _name(value, objects, allowed)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return _component(value, objects, allowed)


def _component(value: Any, objects: dict[str, Any], allowed: Allowed) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_component(item, objects, allowed) for item in value]
    if isinstance(value, (str, Mapping)):
        return _plain(value, objects, allowed)
    return {"type": _name(value, objects, allowed)}


def _name(value: Any, objects: dict[str, Any], allowed: Allowed) -> str:
    if inspect.isclass(value) or inspect.isfunction(value):
        plain_path = value.__module__ != "__main__" and "." not in value.__qualname__
        if plain_path and allowed.holds(value):
            return f"{value.__module__}:{value.__qualname__}"
        name = f"python:{value.__module__}.{value.__qualname__}"
    else:
        name = f"python:{type(value).__qualname__} object"
    while name in objects and objects[name] is not value:
        name += "'"
    objects[name] = value
    return name
