"""Everything that a configuration may name, and what each takes: the one source of what is printed and written."""

from __future__ import annotations

import enum
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.config.components import Allowed, Kind, Refused, find, nearest
from assay.config.docstrings import plain, summary
from assay.config.fitting import describe
from assay.config.limits import words
from assay.config.signatures import Parameter, Parameters, parameters
from assay.errors import ConfigError, Problem
from assay.experiment.catalog import KINDS

__all__ = ["MEANINGS", "Argument", "Entry", "entries", "entry", "kind_named", "plain_default"]

MEANINGS: Mapping[str, str] = {
    "dataset": "Where the samples come from.",
    "loader": "What makes batches of samples.",
    "transform": "What is done to the inputs, one after the other.",
    "model": "The network; classes, channels and input shape come from the dataset.",
    "loss": "What is minimised.",
    "metric": "What is measured beside the loss.",
    "optimizer": "What updates the weights.",
    "scheduler": "What changes the learning rate.",
    "trainer": "What runs the epochs.",
    "logger": "Where the measurements are sent.",
}
# What packages leave unsaid of arguments that assay supplies.
_SUPPLIED: Mapping[str, str] = {
    "num_classes": "Number of classes; that of the dataset.",
    "in_channels": "Number of channels of an image; that of the dataset.",
    "input_shape": "Shape of one sample; that of the dataset.",
    "task": "What is predicted; multiclass where the dataset has classes.",
    "root": "Folder of the data; `data` where the class asks for one.",
}


@dataclass(frozen=True)
class Argument:
    """One argument as a reader of configurations sees it.

    Args:
        type: in words; empty where anything may be given.
        default: as it is in Python; `inspect.Parameter.empty` where there is none.
        supplied: whether assay supplies it where the configuration does not.
    """

    name: str
    type: str
    default: Any
    required: bool
    supplied: bool
    meaning: str

    @property
    def shown_default(self) -> str:
        """The default in JSON, or as Python shows it; empty where there is none."""
        return "" if self.default is inspect.Parameter.empty else _shown(self.default)


@dataclass(frozen=True)
class Entry:
    """A class or function that a configuration may name."""

    kind: Kind
    name: str
    obj: Any

    @cached_property
    def summary(self) -> str:
        """One line of help."""
        return summary(self.obj)

    @cached_property
    def parameters(self) -> Parameters:
        return parameters(self.obj)

    def arguments(self) -> Iterator[tuple[Argument, Parameter]]:
        """What it takes, in the order of its signature; what may not be given is left out."""
        for name, parameter in self.parameters.known.items():
            if name in self.kind.reserved:
                continue
            supplied = name in self.kind.runtime
            meaning = parameter.description or (_SUPPLIED.get(name, "") if supplied else "")
            yield (
                Argument(
                    name,
                    self._type(parameter),
                    parameter.default,
                    parameter.required and not supplied,
                    supplied,
                    plain(meaning),
                ),
                parameter,
            )

    def _type(self, parameter: Parameter) -> str:
        annotation, limit = parameter.annotation, self.kind.limit(self.obj, parameter.name)
        if limit is None:
            return "" if annotation is Any else describe(annotation)
        if annotation in (Any, int, float) or isinstance(limit, tuple):
            return words(limit, whole=annotation is int)
        text = describe(annotation)
        whole = re.search(r"(?<!whole )number", text) is None
        plain, limited = "a whole number" if whole else "a number", words(limit, whole)
        # Said in its place where there is one number to say it of.
        return text.replace(plain, limited) if text.count("number") == text.count(plain) == 1 else f"{text} ({limited})"


def kind_named(name: str) -> Kind:
    """The kind of a name, in the singular or plural.

    Raises:
        ConfigError: there is none.
    """
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in KINDS:
            return KINDS[form]
    near = nearest(name, KINDS)
    hint = f"did you mean {near!r}?" if near else ""
    raise ConfigError.of(Problem(f"there is no kind {name!r}", None, "", name, ", ".join(KINDS), hint))


def entry(kind: Kind, name: str, allowed: Allowed) -> Entry:
    """One component by its name or path.

    Raises:
        ConfigError: it cannot be named.
    """
    try:
        return Entry(kind, name, find(kind, name, allowed, KINDS.values()))
    except Refused as refused:
        raise ConfigError.of(refused.problem) from refused


def entries(kind: Kind, allowed: Allowed) -> list[Entry]:
    """Every component of a kind by name, assay's own first; what cannot be constructed is not among them."""
    names = sorted(kind.names(), key=lambda name: (name not in kind.table, name))
    return [found for name in names if not inspect.isabstract((found := entry(kind, name, allowed)).obj)]


def plain_default(default: Any) -> Any:
    """A default as JSON has it.

    Raises:
        ValueError: JSON cannot say it.
    """
    if default is None or isinstance(default, bool | int | str):
        return default.value if isinstance(default, enum.Enum) else default
    if isinstance(default, float) and math.isfinite(default):
        return default
    if isinstance(default, enum.Enum):
        return plain_default(default.value)
    if isinstance(default, list | tuple):
        return [plain_default(item) for item in default]
    if isinstance(default, Mapping):
        return {str(key): plain_default(item) for key, item in default.items()}
    raise ValueError(f"{default!r} is nothing that JSON can say")


def _shown(default: Any) -> str:
    import orjson

    try:
        return orjson.dumps(plain_default(default)).decode()
    except ValueError:
        # Not the address of an object, which differs from run to run.
        return getattr(default, "__name__", "") or re.sub(r"<(\S+).* at 0x[0-9a-f]+>", r"<\1>", repr(default))
