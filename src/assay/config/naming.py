"""Names that stand for nothing in their slot: what was meant, or where it belongs. Tables tell it, without imports."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from assay.errors import Problem

if TYPE_CHECKING:
    from assay.config.kinds import Kind

__all__ = ["a", "meant", "nearest", "nearest_component", "of_another_kind", "same_component", "unknown"]

# Words that people leave off, or say instead: `adam`, `cross_entropy`, `tensorboard`, `plateau`.
_ENDINGS = ("", "loss", "lr", "logger", "loader", "trainer", "score")
_SHORT = {"acc": "accuracy", "ce": "crossentropy", "xent": "crossentropy", "mae": "l1", "topk": "topkaccuracy"}
_SHORT |= {"topkacc": "topkaccuracy", "tb": "tensorboard"}
_SECTIONS = {
    "dataset": "data.dataset",
    "loader": "data.loader",
    "transform": "data.transforms",
    "metric": "metrics",
    "scheduler": "schedulers",
    "logger": "loggers",
}


def a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The closest of `names`, case put aside, or an empty string."""
    by_lower = {known.lower(): known for known in names}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[match[0]] if match else ""


def nearest_component(name: str, names: Iterable[str]) -> str:
    """The closest of the names of components, or an empty string.

    >>> nearest_component("cross_entropy", ["CrossEntropyLoss", "NLLLoss"]), nearest_component("plateau", ["OnPlateau"])
    ('CrossEntropyLoss', 'OnPlateau')
    """
    listed = list(names)
    inside = [known for known in listed if len(name) > 3 and _plain(name) in _plain(known)]
    words = _words(name)
    holding = [known for known in listed if len(words) > 1 and words <= _words(known)]
    return (
        same_component(name, listed)
        or min(holding, key=len, default="")
        or nearest(name, listed)
        or min(inside, key=len, default="")
    )


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)}


def of_another_kind(name: str, kind: Kind, others: Iterable[Kind]) -> Problem | None:
    """The problem with a name of another slot, written as it is or by path: `torch.nn:CrossEntropyLoss` in `model`."""
    module, _, last = name.replace(":", ".").rpartition(".")
    for other in others:
        if other.name == kind.name:
            continue
        by_table = name in other.table or f"{module}:{last}" in other.table.values()
        by_family = any(
            last in family.listed() and (not module or f"{module}.".startswith(f"{family.package}."))
            for family in other.families
        )
        if by_table or by_family:
            message = f"{name!r} is {a(other.name)}, and {a(kind.name)} belongs here"
            return Problem(message, found=name, hint=f"put it under {_section(other)}")
    return None


def unknown(name: str, kind: Kind, others: Iterable[Kind]) -> Problem:
    """The problem with a name that no table has, and no module."""
    families = " or ".join(family.package for family in kind.families)
    choices = [*sorted(kind.table), *([f"a name of {families}"] if families else []), "or package.module:Name"]
    return Problem(f"no {kind.name} is named {name!r}", None, "", name, ", ".join(choices), meant(name, kind, others))


def meant(name: str, kind: Kind, others: Iterable[Kind] = (), *, surely: bool = False) -> str:
    """A hint at the component that a wrong name stands for, of this kind or, failing that, of another one.

    Args:
        surely: where the spelling alone differs, not where it is only near.
    """
    names, last = kind.names(), name.replace(":", ".").rpartition(".")[2]
    if same := same_component(last, names):
        return f"did you mean {same!r}?"
    for other in others:
        # Of a path only the whole name tells: torch.nn.Linear has nothing to do with LinearLR.
        if other.name != kind.name and (same := same_component(last, other.names(), () if last != name else _ENDINGS)):
            return f"{same!r} is {a(other.name)}: put it under {_section(other)}"
    if surely:
        return ""
    if near := nearest_component(last, names):
        return f"did you mean {near!r}?"
    if last != name:
        return ""
    everything = {known: other for other in others for known in other.names()}
    near = nearest(last, everything, 0.75)  # of another slot only what is meant beyond doubt
    return f"{near!r} is {a(everything[near].name)}: put it under {_section(everything[near])}" if near else ""


def _section(kind: Kind) -> str:
    return _SECTIONS.get(kind.name, kind.name)


def same_component(name: str, names: Iterable[str], endings: Iterable[str] = _ENDINGS) -> str:
    """The one of `names` that differs in spelling alone, or in a word that says its kind."""
    by_plain: dict[str, str] = {}
    for known in sorted(names):  # ResNet18 before torchvision's resnet18
        by_plain.setdefault(_plain(known), known)
    plain = _SHORT.get(_plain(name), _plain(name))
    ends = (f"{plain}{ending}" for ending in ("", *endings))
    return next((by_plain[end] for end in ends if end in by_plain), "")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
