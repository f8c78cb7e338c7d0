"""docs/config.md: every section, key and component, from the same source as the check and the schema."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from assay.config.check import SLOTS, Slot
from assay.config.components import Allowed, Kind
from assay.config.document import At, dotted
from assay.config.json_types import parameter_schema
from assay.config.schema import Component, Config
from assay.experiment.catalog import KINDS
from assay.experiment.inventory import MEANINGS, Argument, Entry, entries
from assay.experiment.key_words import in_words
from assay.experiment.section_schema import key_default

__all__ = ["config_docs"]

_SLOTS = {slot.at: slot for slot in SLOTS}
# Of these each of the packages' components has a table; of the others there are too many.
_IN_FULL = ("optimizer", "scheduler", "loss", "transform")
_INTRODUCTION = """\
# The configuration

Written by `make docs` from the code that checks configurations: change that, and not this page.

A configuration is JSON or YAML 1.2. This is the least that one can say; everything else has a default:

```json
{
  "data": {"dataset": "Digits"},
  "model": "ResNet",
  "loss": "CrossEntropyLoss",
  "optimizer": {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}}
}
```

A component is `{"type": NAME, "args": {…}}`, or the bare name where it needs no arguments. `NAME` is one of those
[below](#components) or `package.module:Name` for one of your own ([adding.md](adding.md)). How files build on each
other, and what `--set` and `${…}` do: [composition.md](composition.md). `"$schema": "../schema.json"` (the path from
the file to `configs/schema.json`) lets an editor complete and underline all of this.
"""
_EXAMPLES: Mapping[At, Any] = {
    (): {"project": "digits", "name": "small", "seed": 3, "folder": "saved"},
    ("host",): {"device": "cuda:0", "precision": "bfloat16", "threads": 4},
    ("data",): {
        "dataset": {"type": "ImageFolder", "args": {"root": "data/images"}},
        "loader": {"args": {"workers": 2}},
    },
    ("data", "split"): {"validation": 0.1, "test": 1000},
    ("data", "transforms"): {
        "train": [{"type": "RandomCrop", "args": {"size": 32, "padding": 4}}, "RandomHorizontalFlip"],
        "test": [],
    },
    ("model",): {"type": "ResNet", "args": {"blocks": [1, 1, 1], "width": 16}, "weights": "saved/digits/resnet-…"},
    ("loss",): {"type": "CrossEntropyLoss", "args": {"label_smoothing": 0.1}},
    ("metrics",): ["Accuracy", {"type": "TopKAccuracy", "args": {"k": 3}}],
    ("optimizer",): {
        "type": "AdamW",
        "args": {"lr": 0.001},
        "groups": [{"match": ".*bias", "weight_decay": 0.0}, {"match": "head.*", "lr": 0.01}],
    },
    ("schedulers",): [
        {"type": "DynamicLR", "args": {"values": {"0": 0.1, "40": 0.01}}},
        {"type": "CosineAnnealingLR", "unit": "batch"},
    ],
    ("trainer",): {"args": {"epochs": 30, "monitor": "min validation/loss", "early_stopping": {"patience": 5}}},
    ("validation",): {"every": "500ba"},
    ("testing",): {"every": "10ep"},
    ("checkpoints",): {"every": "1ep", "keep_last": 2, "keep_best": 1},
    ("logging",): {"every": "50ba", "images": 16, "histograms": True, "system": "5s"},
    ("loggers",): ["TensorBoardLogger"],
}


def config_docs(allowed: Allowed) -> str:
    """The page, in Markdown; the same packages give the same text."""
    lines = [_INTRODUCTION, "## Sections\n", *_section(Config, ()), "## Components\n"]
    lines.append("Arguments that come from the data or from assay need not be given; they are marked *supplied*.\n")
    for kind in KINDS.values():
        lines += _kind(kind, entries(kind, allowed))
    return "\n".join(lines).rstrip() + "\n"


def _section(section: type[BaseModel], at: At) -> Iterator[str]:
    """The table of a section's keys, an example, and then the sections in it."""
    if at:
        yield f"### `{dotted(at)}`\n"
        yield f"{inspect.cleandoc(section.__doc__ or '')}\n"
    yield from _table(("key", "what it takes", "default", "meaning"), _keys(section, at))
    yield from _example(at)
    for name, field in section.model_fields.items():
        inner, slot = (*at, name), _SLOTS.get((*at, name))
        if slot is not None and not at:
            yield from _slot(slot, field.annotation, str(field.description))
        elif slot is None and _is_section(field.annotation):
            yield from _section(cast(type[BaseModel], field.annotation), inner)


def _slot(slot: Slot, annotation: Any, meaning: str) -> Iterator[str]:
    """A section that is a component, or a list of them."""
    yield f"### `{dotted(slot.at)}`\n"
    what = f"A list; each is {_link(slot.kind)}." if slot.many else f"It is {_link(slot.kind)}."
    yield f"{meaning} {what}\n"
    members = [annotation, *getattr(annotation, "__args__", ())]
    component = next(member for member in members if _is_section(member))
    if set(component.model_fields) != set(Component.model_fields):
        yield from _table(("key", "what it takes", "default", "meaning"), _keys(component, slot.at))
    yield from _example(slot.at)


def _keys(section: type[BaseModel], at: At) -> Iterator[Sequence[str]]:
    written = section.model_json_schema()
    properties = written.get("properties") or written["anyOf"][1]["properties"]
    for name, field in section.model_fields.items():
        slot = _SLOTS.get((*at, name))
        if slot is not None:
            takes = f"a list, each {_link(slot.kind)}" if slot.many else _link(slot.kind)
            default = f"`{slot.default}`" if slot.default else "`[]`" if slot.many else ""
        elif _is_section(field.annotation):
            takes, default = f"[a section](#{''.join(str(part) for part in (*at, name))})", ""
        else:
            takes = in_words((*at, name), properties[name])
            default = _code(key_default(field)) if not field.is_required() else ""
        yield f"`{name}`", takes, "*required*" if field.is_required() else default, str(field.description)


def _link(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} [{kind}](#component-{kind})"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _example(at: At) -> Iterator[str]:
    example = _EXAMPLES.get(at)
    if example is not None:
        for part in reversed(at):
            example = {part: example}
        yield f"```json\n{json.dumps(example, ensure_ascii=False)}\n```\n"


def _kind(kind: Kind, found: Sequence[Entry]) -> Iterator[str]:
    yield f"### Component: {kind.name}\n"
    yield f"{MEANINGS[kind.name]}\n"
    full = [entry for entry in found if entry.name in kind.table or kind.name in _IN_FULL]
    for entry in full:
        yield f"#### `{entry.name}`\n"
        yield f"{_cell(entry.summary)} ({entry.obj.__module__.partition('.')[0]})\n"
        rows = [_argument(argument) for argument, _ in entry.arguments()]
        yield from _table(("argument", "type", "default", "meaning"), rows)
    short = [entry for entry in found if entry not in full]
    if short:
        packages = " and ".join(f"`{package}`" for package in dict.fromkeys(f.package for f in kind.families))
        yield f"Of {packages} (required arguments are bold; `assay components {kind.name} NAME` shows them all):\n"
        yield from _table(("name", "meaning", "arguments"), (_short(entry) for entry in short))


def _argument(argument: Argument) -> Sequence[str]:
    default = f"`{argument.shown_default}`" if argument.shown_default else ""
    default = "*required*" if argument.required else "*supplied*" if argument.supplied else default
    return f"`{argument.name}`", argument.type or "anything", default, argument.meaning


def _short(entry: Entry) -> Sequence[str]:
    # What every metric of torchmetrics has from its base is the same for all of them, and assay's to see to.
    base = {"dist_sync_on_step", "process_group", "dist_sync_fn", "distributed_available_fn"}
    base |= {"compute_on_cpu", "sync_on_compute", "compute_with_cache"}
    listed = [
        f"**`{argument.name}`**" if argument.required else f"`{argument.name}`"
        for argument, parameter in entry.arguments()
        if not (argument.supplied and argument.name != "root")
        and not argument.name.startswith("_")
        and argument.name not in base
        # What takes a function only cannot be given in a configuration.
        and (argument.required or parameter.annotation is Any or parameter_schema(parameter))
    ]
    return f"`{entry.name}`", entry.summary, ", ".join(listed)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    listed = list(rows)
    if listed:
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        for row in listed:
            yield f"| {' | '.join(_cell(cell) for cell in row)} |"
        yield ""


def _cell(text: str) -> str:
    """Text for a cell of a table; what looks like a tag is none, and in code it is left as it is."""
    return re.sub(r"(`[^`]*`)|<", lambda match: match[1] or "&lt;", text).replace("|", "\\|")


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"
