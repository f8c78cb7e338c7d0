"""Mistakes between sections that need no class to be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from assay.config.components import Kind
from assay.config.document import At, dotted
from assay.config.load import Source
from assay.config.monitored import monitor_problems
from assay.config.schema import as_component
from assay.errors import Problem

__all__ = ["problems_across"]

_RATE: At = ("optimizer", "args", "lr")


def problems_across(source: Source, kinds: Mapping[str, Kind], objects: Collection[str] = ()) -> Iterator[Problem]:
    """What one section says that another one makes wrong, or without effect.

    Args:
        objects: names of the configuration that stand for objects of Python.
    """
    yield from monitor_problems(source, kinds, objects)
    yield from _plateaus(source)
    yield from _rate_without_effect(source)
    yield from _shares(source)
    yield from _refused_for_rows(source)


def _schedulers(source: Source) -> Iterator[tuple[At, Mapping[str, Any]]]:
    listed = source.data.get("schedulers")
    for index, item in enumerate(listed if isinstance(listed, list) else []):
        component = as_component(item)
        if isinstance(component, Mapping):
            yield ("schedulers", index), component


def _last(component: Mapping[str, Any]) -> str:
    return str(component.get("type")).replace(":", ".").rpartition(".")[2]


def _plateaus(source: Source) -> Iterator[Problem]:
    for at, scheduler in _schedulers(source):
        if _last(scheduler) == "ReduceLROnPlateau" and scheduler.get("unit") == "batch":
            inside: At = (*at, "unit")
            message = "ReduceLROnPlateau goes by the monitored value, which comes with validations"
            yield Problem(message, source.place(inside), dotted(inside), '"batch"', '"epoch"')


def _rate_without_effect(source: Source) -> Iterator[Problem]:
    """A rate that was set for this run, while a DynamicLR sets its own from the first epoch on."""
    place = source.places.get(_RATE)
    if place is None or not place.file.startswith("--set"):
        return
    for at, scheduler in _schedulers(source):
        args = scheduler.get("args")
        values = args.get("values") if isinstance(args, Mapping) else None
        if _last(scheduler) == "DynamicLR" and isinstance(values, Mapping) and "0" in values:
            yield Problem(
                "this learning rate has no effect: DynamicLR sets its own from the beginning",
                place,
                dotted(_RATE),
                found=f"{values['0']!r} at {source.place((*at, 'args', 'values', '0'))}",
                hint=f'--set {dotted((*at, "args", "values", "0"))}=…, or take the entry "0" out',
            )


def _refused_for_rows(source: Source) -> Iterator[Problem]:
    host = source.data.get("host")
    if not (isinstance(host, Mapping) and host.get("strategy") == "fsdp"):
        return
    if host.get("compile") is True:
        at: At = ("host", "compile")
        message = "a model whose parameters are in rows is not compiled"
        yield Problem(message, source.place(at), dotted(at), "true", 'false, or host.strategy "ddp"')
    if host.get("precision") == "float16":
        at = ("host", "precision")
        message = "gradients that are in rows have no loss scale, which float16 needs"
        yield Problem(message, source.place(at), dotted(at), '"float16"', '"bfloat16", or host.strategy "ddp"')


def _shares(source: Source) -> Iterator[Problem]:
    """Shares of the training data that leave nothing to train on."""
    section = source.data.get("data")
    split = section.get("split") if isinstance(section, Mapping) else None
    given = [split.get(name) for name in ("validation", "test")] if isinstance(split, Mapping) else []
    shares = [share for share in given if isinstance(share, float) and 0 < share < 1]
    if len(shares) == 2 and sum(shares) >= 1:
        at: At = ("data", "split")
        found = f"{shares[0]} and {shares[1]}"
        yield Problem("the two splits leave nothing to train on", source.place(at), dotted(at), found, "less than 1")
