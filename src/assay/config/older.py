"""Configurations of older systems: for each of their keys, where it lives here and what to write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.config.components import Kind
from assay.config.document import At, dotted
from assay.config.hints import elsewhere
from assay.config.load import Source
from assay.config.misfit import show
from assay.config.older_keys import RULES, Answer, Old
from assay.config.schema import Config
from assay.errors import Moved, Place, Problem

__all__ = ["with_older_keys"]

# Keys that no configuration of assay has; two of them are no slip.
_SIGNS = {
    "an older template": frozenset(
        {
            *("project_name", "run_name", "training", "data.loader.kwargs", "host.gpu_settings"),
            *("model.arch", "model.loss_function", "optimizer.opt", "optimizer.lr_schedulers"),
            *("testing.do", "testing.test_epochs_interval", "logging.index_batches", "logging.tensorboard_logs"),
            *("logging.sacred_logs", "logging.infrastructure_logs", "logging.wandb_logs", "logging.neptune_logs"),
        }
    ),
    "pytorch-template, an older template": frozenset(
        {
            *("n_gpu", "arch", "data_loader", "lr_scheduler", "lr_scheduler_type", "optimizer_type"),
            *("trainer.save_dir", "trainer.save_period", "trainer.save_freq", "trainer.early_stop"),
            *("trainer.verbosity", "trainer.tensorboard", "validation.validation_split"),
        }
    ),
}
_ENOUGH = 2
# A mapping at these is a component with keys of its own.
_PLAIN = ("arch", "loss", "metrics.*", "model.loss_function")


@dataclass(frozen=True)
class _Line:
    at: At
    value: Any
    answer: Answer


def with_older_keys(source: Source, kinds: Mapping[str, Kind], problems: Sequence[Problem]) -> list[Problem]:
    """The problems, with those of keys of older systems replaced by where each of them lives here."""
    data = source.raw or source.data  # what stands in the environment is written nowhere
    old = Old(data, kinds)
    found = {system: sum(_has(data, sign) for sign in signs) for system, signs in _SIGNS.items()}
    system = max(found, key=lambda name: found[name])
    if found[system] < _ENOUGH:
        return list(problems)
    lines = list(_lines(old))
    answered = [dotted(line.at) for line in lines]
    targets = [dotted(line.answer.to) for line in lines if line.answer.to]
    left = [
        problem
        for problem in problems
        if not any(_touches(problem.key, key) for key in answered)
        and not any(f"{key}.".startswith(f"{problem.key}.") for key in targets)
    ]
    whole = json.dumps(_converted(data, lines), indent=2, ensure_ascii=False)
    told = [_told(line, source) for line in lines]
    place = min(problem.place for problem in told if problem.place)
    head = Moved(
        f"this looks like a configuration of {system}: below, for each of its keys, where it lives here",
        Place(place.file, min(place.line, 1), min(place.column, 1)),
        hint="the whole of it, as it is written here:\n" + whole,
    )
    return [head, *told, *left]


def _has(data: Any, sign: str) -> bool:
    for part in sign.split("."):
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True


def _touches(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _lines(old: Old) -> Iterator[_Line]:
    """Every key of the older system once, with its answer; what stands here as it stood there is none."""
    seen: set[At] = set()
    for leaf in _leaves(old.data, ()):
        at, answer = _answer(leaf, old)
        if answer is None or at in seen:
            continue
        seen.add(at)
        value = old.get(*at)
        if (answer.to, answer.value) != (at, value) and (answer.to, answer.value) != ((*at, "type"), value):
            yield _Line(at, value, answer)


def _leaves(value: Any, at: At) -> Iterator[At]:
    """The paths of plain values; a list of plain values is one, but for metrics."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*at, key))
    elif isinstance(value, list) and value and (at == ("metrics",) or any(isinstance(item, Mapping) for item in value)):
        for index, item in enumerate(value):
            yield from _leaves(item, (*at, index))
    else:
        yield at


def _answer(leaf: At, old: Old) -> tuple[At, Answer | None]:
    """The answer of the longest part of the path that has one."""
    if leaf and "comment" in str(leaf[-1]).lower():
        return leaf, Answer(None, None, "leave it out: JSON has no comments; a configuration in YAML may have them")
    for length in range(len(leaf), 0, -1):
        at = leaf[:length]
        for pattern, rule in RULES.items():
            if _matches(at, pattern) and not (pattern in _PLAIN and isinstance(old.get(*at), Mapping)):
                return at, rule(at, old.get(*at), old)
    if _is_old(leaf):
        near = elsewhere(str(leaf[-1]))
        if old.get(*leaf) in ({}, [], None):
            return leaf, Answer(None, None, "leave it out")
        return leaf, Answer(None, None, f"there is no such thing here{f'; did you mean {near}?' if near else ''}")
    return leaf, None


def _matches(at: At, pattern: str) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(at) and all(part in ("*", str(key)) for part, key in zip(parts, at, strict=True))


def _is_old(at: At) -> bool:
    """Whether it stands in a section of the older system that assay has not."""
    sections = {sign for signs in _SIGNS.values() for sign in signs}
    return any(
        dotted(at[:length]) in sections and (length > 1 or at[0] not in Config.model_fields)
        for length in range(1, len(at) + 1)
    )


def _told(line: _Line, source: Source) -> Moved:
    answer = line.answer
    if answer.to is None:
        message = answer.note
    else:
        written = json.dumps(answer.value, ensure_ascii=False)
        message = f"here it is {dotted(answer.to)}: {written}" + (f" ({answer.note})" if answer.note else "")
    return Moved(message, source.place(line.at, key=True), dotted(line.at), show(line.value))


def _converted(data: Mapping[str, Any], lines: Sequence[_Line]) -> dict[str, Any]:
    """The same configuration as it is written here: what is answered goes, and comes where the answers say."""
    made: Any = copy.deepcopy(dict(data))
    for line in lines:
        _take_out(made, line.at)
    made = _without_empty(made)
    for line in lines:
        if line.answer.to == ("loggers",):
            before = made.get("loggers", [])
            made["loggers"] = [*before, *(logger for logger in line.answer.value if logger not in before)]
        elif line.answer.to is not None:
            _put(made, line.answer.to, line.answer.value)
    order = [*Config.model_fields, *made]
    return {key: _as_lists(made[key]) for key in sorted(made, key=order.index)}


def _take_out(made: Any, at: At) -> None:
    for part in at[:-1]:
        made = (made if isinstance(made, dict) else dict(enumerate(made))).get(part)
        if not isinstance(made, dict | list):
            return
    if isinstance(made, dict):
        made.pop(at[-1], None)
    elif isinstance(at[-1], int):
        made[at[-1]] = {}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if key == "metrics" or not _is_empty(item)}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _is_empty(value: Any) -> bool:
    return value == {} or (isinstance(value, list) and bool(value) and all(item == {} for item in value))


def _put(made: dict[str | int, Any], to: At, value: Any) -> None:
    """Set a value; lists are mappings by number until all of them are there."""
    here: Any = made
    for part in to[:-1]:
        below = here.get(part)
        if isinstance(below, list):
            below = here[part] = dict(enumerate(below))
        elif isinstance(below, str):
            below = here[part] = {"type": below}
        elif not isinstance(below, dict):
            below = here[part] = {}
        here = below
    here[to[-1]] = value


def _as_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inside = {key: _as_lists(value[key]) for key in sorted(value, key=lambda key: key != "type")}
    is_numbered = bool(inside) and all(isinstance(key, int) for key in inside)
    return [inside[key] for key in sorted(inside)] if is_numbered else inside
