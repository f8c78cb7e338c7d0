"""What a run will measure, and whether the monitored value is among it; no class is needed to know."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.config.components import Kind, nearest
from assay.config.document import At, dotted
from assay.config.load import Source
from assay.config.misfit import show
from assay.config.schema import as_component
from assay.errors import Problem

__all__ = ["monitor_problems", "translated", "twice_measured"]

_MONITOR = re.compile(r"(?P<direction>min|max) (?P<phase>[^/\s]+)/(?P<name>\S+)")
_PHASES = ("train", "validation", "test")
_AT: At = ("trainer", "args", "monitor")

# What the same thing is called elsewhere.
_WORDS = re.compile(
    r"(?:(?P<direction>min|max)(?:imi[sz]e)?[\s:_]+)?"
    r"(?:(?P<phase>train|training|val|valid|validation|eval|dev|test)[\s/_.:-]+)?(?P<name>[\w/.@%+-]*)"
)
_PHASE_OF = {"train": "train", "training": "train"}
_NAME_OF = {"acc": "accuracy", "top1": "accuracy", "top1_acc": "accuracy", "acc1": "accuracy", "error": "accuracy"}
_LOWER_IS_BETTER = re.compile(r"loss|error|mse|mae|perplexity|distance|divergence")


@dataclass(frozen=True)
class _Measured:
    """The names of one phase, without the phase; `is_open` where a class of the user's own may add others."""

    names: tuple[str, ...]
    is_open: bool

    def listed(self, phase: str) -> str:
        return ", ".join(f"{phase}/{name}" for name in self.names)

    def has(self, name: str) -> bool:
        # A metric may give several numbers, `name/key`, that are not known before there are any.
        return self.is_open or any(name == known or name.startswith(f"{known}/") for known in self.names)


def monitor_problems(source: Source, kinds: Mapping[str, Kind], objects: Collection[str]) -> Iterator[Problem]:
    """Whether `trainer.args.monitor` is of the right form, and names what is measured."""
    args = as_component(source.data.get("trainer"))
    args = args.get("args") if isinstance(args, Mapping) else None
    monitor = args.get("monitor") if isinstance(args, Mapping) else None
    if not isinstance(monitor, str):
        return
    measured = _measured(source.data, kinds, objects)
    place, key = source.place(_AT), dotted(_AT)
    match = _MONITOR.fullmatch(monitor)
    if match is None:
        expected = f'"min" or "max" and one of {measured.listed("validation")}'
        yield Problem("this cannot be monitored", place, key, show(monitor), expected, _hint(monitor, measured))
    elif match["phase"] not in _PHASES:
        expected = ", ".join(_PHASES)
        yield Problem("this phase cannot be monitored", place, key, show(monitor), expected, _hint(monitor, measured))
    elif match["phase"] == "test" and source.data.get("allow_test_selection") is not True:
        hint = f'"{match["direction"]} validation/{match["name"]}"; or set allow_test_selection to true, '
        hint += "and the run is stamped"
        message, expected = "the test split may not choose the best model", "a quantity of validation"
        yield Problem(message, place, key, show(monitor), expected, hint)
    elif _held_back(source.data, match["phase"]) == 0:
        message = f"nothing is held back for {match['phase']}, and {monitor!r} is measured there"
        hint = f"set data.split.{match['phase']} to a share such as 0.1, or monitor a quantity of train"
        yield Problem(message, place, key, show(monitor), hint=hint)
    elif not measured.has(match["name"]) and not (match["phase"] == "train" and _is_rate(match["name"])):
        message = f"nothing measures '{match['phase']}/{match['name']}'"
        expected = measured.listed(match["phase"])
        hint = _addition(match["name"], kinds["metric"]) or _hint(monitor, measured)
        yield Problem(message, place, key, show(monitor), expected, hint)


def twice_measured(
    source: Source, kinds: Mapping[str, Kind], objects: Collection[str], faulty: Collection[At]
) -> Iterator[Problem]:
    """Metrics that are recorded under the name of one before; what is wrong in itself (`faulty`) is left alone."""
    kind, seen = kinds["metric"], dict[str, At]()
    metrics = source.data.get("metrics")
    for index, metric in enumerate(metrics if isinstance(metrics, list) else []):
        component, at = as_component(metric), ("metrics", index)
        name = component.get("type") if isinstance(component, Mapping) else None
        if at in faulty or kind.measures is None or not isinstance(name, str) or not _is_listed(name, kind, objects):
            continue
        args = component.get("args")
        recorded = kind.measures(name, args if isinstance(args, Mapping) else {})
        if recorded and recorded in seen:
            message = f"two measurements are named {recorded!r}"
            hint = f"list each metric once (see {source.place(seen[recorded])}), or give one another `name` in its args"
            yield Problem(message, source.place(at), dotted(at), name, hint=hint)
        seen.setdefault(recorded, at)


def _measured(data: Mapping[str, Any], kinds: Mapping[str, Kind], objects: Collection[str]) -> _Measured:
    kind, names, is_open = kinds["metric"], ["loss"], not _is_listed(data.get("trainer"), kinds["trainer"], objects)
    metrics = data.get("metrics")
    for metric in metrics if isinstance(metrics, list) else []:
        component = as_component(metric)
        name = component.get("type") if isinstance(component, Mapping) else None
        args = component.get("args") if isinstance(component, Mapping) else None
        if kind.measures is None or not isinstance(name, str) or not _is_listed(name, kind, objects):
            is_open = True  # what a class of one's own is recorded as, it says itself
        elif recorded := kind.measures(name, args if isinstance(args, Mapping) else {}):
            names.append(recorded)
    return _Measured(tuple(names), is_open)


def _is_listed(component: Any, kind: Kind, objects: Collection[str]) -> bool:
    """Whether it is one of assay's own or of the families, whose ways are known; so is the default."""
    component = as_component(component)
    name = component.get("type") if isinstance(component, Mapping) else None
    if name is None:
        return True
    if not isinstance(name, str) or name in objects:
        return False
    module, _, last = name.replace(":", ".").rpartition(".")
    return name in kind.table or any(
        last in family.listed() and module in ("", family.package) for family in kind.families
    )


def _held_back(data: Mapping[str, Any], phase: str) -> Any:
    section = data.get("data")
    split = section.get("split") if isinstance(section, Mapping) else None
    return split.get(phase) if isinstance(split, Mapping) else None


def _is_rate(name: str) -> bool:
    return name.partition("/")[0] == "learning_rate"


def _addition(name: str, kind: Kind) -> str:
    """The metric that would be recorded under this name."""
    known = [listed for listed in kind.names() if kind.measures and kind.measures(listed, {}) == name]
    return f'add "{known[0]}" to metrics' if known else ""


def _hint(monitor: str, measured: _Measured) -> str:
    return f'did you mean "{translated(monitor, measured.names)}"?'


def translated(monitor: str, names: Iterable[str] = ("loss", "accuracy")) -> str:
    """A monitored value in the words of this configuration, the nearest of what is measured.

    >>> translated("val_acc"), translated("min val_loss")
    ('max validation/accuracy', 'min validation/loss')
    """
    listed = list(names)
    match = _WORDS.fullmatch(monitor.strip().lower())
    said = match["name"] if match else ""
    name = next((known for known in listed if known in (said, _NAME_OF.get(said))), "")
    name = name or nearest(said, listed)
    name = name or next((known for known in listed if said and (said in known or known in said)), "")
    if not match or not name:
        return "min validation/loss"
    phase = _PHASE_OF.get(match["phase"] or "", "validation")
    direction = match["direction"] or ("min" if _LOWER_IS_BETTER.search(name) else "max")
    return f"{direction} {phase}/{name}"
