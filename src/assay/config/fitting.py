"""Whether a value from a configuration fits an annotation, and the value as the annotation wants it.

JSON is strict here: 64.0 is no int, "0.1" no float, true no int; 1 is a float, and so is "1e-3", which some readers of
YAML take for text. Lists become tuples where asked for, mappings dataclasses, names enumeration members and torch
dtypes, lists of numbers tensors. What `Annotated` says of ranges holds. Another annotation (a callable, a class) says
nothing about JSON, and anything fits it.
"""

from __future__ import annotations

import collections
import collections.abc
import copy
import dataclasses
import difflib
import enum
import inspect
import json
import math
import numbers
import pathlib
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from assay.config.annotations import bare, fewest_of, is_tensor, limit_of, members
from assay.config.limits import Limit, number, within, words
from assay.config.misfit import OUT_OF_RANGE, WRONG_VALUE, Fault, Misfit, out_of_range, show
from assay.config.signatures import parameters
from assay.config.torch_values import dtype, tensor

__all__ = [
    "LISTS",
    "MAPPINGS",
    "SETS",
    "Misfit",
    "describe",
    "fit",
    "reader_of",
    "show",
]

LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
SETS = (set, frozenset, collections.abc.Set)
# The first that fits wins, so the narrow ones come first.
_ORDER = (types.NoneType, bool, int, str, float)


def fit(annotation: Any, value: Any, default: Any = inspect.Parameter.empty) -> Any:
    """`value` as `annotation` wants it.

    Raises:
        Misfit: it does not fit.
    """
    if value is None and default is None:
        return None
    reader = reader_of(annotation)
    return copy.deepcopy(value) if reader is None else reader(value)


def reader_of(annotation: Any) -> Callable[[Any], Any] | None:
    """The function that reads JSON for this annotation; None where the annotation says nothing about JSON."""
    limit = limit_of(annotation)
    if limit is not None:
        return _limited(annotation, limit)
    if least := fewest_of(annotation):
        return _counted(annotation, least)
    annotation = bare(annotation)
    origin, inner = typing.get_origin(annotation), members(annotation)
    base = origin or annotation
    if base is typing.Union or base is types.UnionType:
        return _union(annotation, inner)
    if base is typing.Literal:
        return lambda value: _literal(annotation, inner, value)
    if base is None or base in _ORDER:
        return lambda value: _plain(types.NoneType if base is None else base, value)
    if base in LISTS:
        return lambda value: _items(list, annotation, inner[:1] or (Any,), value)
    if base is tuple:
        return lambda value: _tuple(annotation, inner, value)
    if base in SETS:
        make: Any = frozenset if base is frozenset else set
        return lambda value: _items(make, annotation, inner[:1] or (Any,), value)
    if base in MAPPINGS:
        return lambda value: _mapping(annotation, inner or (Any, Any), value)
    if inspect.isclass(base):
        return _class_reader(base)
    return None


def _counted(annotation: Any, least: int) -> Callable[[Any], Any]:
    """The reader of a list or an object that must have some members."""
    reader = reader_of(bare(annotation)) or copy.deepcopy

    def read(value: Any) -> Any:
        if isinstance(value, list | tuple | Mapping) and len(value) < least:
            expected = f"{describe(annotation)} with at least {least} {'entry' if least == 1 else 'entries'}"
            raise Misfit.of(value, expected)
        return reader(value)

    return read


def _limited(annotation: Any, limit: Limit) -> Callable[[Any], Any]:
    """The reader of what `Annotated` stands around, which minds the range."""
    inner = bare(annotation)
    reader = reader_of(inner)

    def read(value: Any) -> Any:
        fitted = copy.deepcopy(value) if reader is None else reader(value)
        faults = out_of_range(limit, value, whole=inner is int)
        if faults:
            raise Misfit(faults)
        return fitted

    return read


def _class_reader(cls: type) -> Callable[[Any], Any] | None:
    if issubclass(cls, numbers.Number):
        return _number  # torchvision's annotations say numbers.Number for "an int or a float"
    if issubclass(cls, enum.Enum):
        return lambda value: _member(cls, value)
    if issubclass(cls, pathlib.PurePath):
        return lambda value: cls(_plain(str, value))
    if dataclasses.is_dataclass(cls):
        return lambda value: _dataclass(cls, value)
    if is_tensor(cls):
        return tensor
    if (cls.__module__, cls.__name__) == ("torch", "dtype"):
        return dtype
    return None


def _union(annotation: Any, members: tuple[Any, ...]) -> Callable[[Any], Any] | None:
    readers = [
        (member, reader)
        for member in sorted(members, key=lambda m: _ORDER.index(m) if m in _ORDER else len(_ORDER))
        if (reader := reader_of(member)) is not None
    ]
    # A union with Any says nothing; of one with other classes the plain members decide.
    if not readers or Any in members or object in members:
        return None
    if len(readers) < len(members) and all(member is types.NoneType for member, _ in readers):
        return None

    classes = [reader for member, reader in readers if dataclasses.is_dataclass(member)]

    def read(value: Any) -> Any:
        if len(classes) == 1 and isinstance(value, Mapping):
            return classes[0](value)  # a dataclass says more of an object than a mapping beside it
        deeper: list[Misfit] = []
        for _, reader in readers:
            try:
                return reader(value)
            except Misfit as misfit:
                if any(path or wrong == OUT_OF_RANGE for path, wrong, *_ in misfit.faults):
                    deeper.append(misfit)
        # One member of the right shape: what is wrong inside it says more than a list of all members.
        raise deeper[0] if len(deeper) == 1 else Misfit.of(value, describe(annotation))

    return read


def _plain(cls: type, value: Any) -> Any:
    if cls is float:
        known = number(value)
        try:
            if known is not None and math.isfinite(made := float(known)):
                return made
        except OverflowError:
            pass
        raise Misfit.of(value, describe(float))
    if type(value) is cls or (isinstance(value, cls) and not isinstance(value, bool)):
        return value
    raise Misfit.of(value, describe(cls))


def _number(value: Any) -> Any:
    known = number(value)
    if known is not None and math.isfinite(known):
        return known
    raise Misfit.of(value, "a number")


def _literal(annotation: Any, allowed: tuple[Any, ...], value: Any) -> Any:
    for one in allowed:
        if type(one) is type(value) and one == value:
            return one
    near = (
        difflib.get_close_matches(value, [a for a in allowed if isinstance(a, str)], 1)
        if isinstance(value, str)
        else []
    )
    hint = f"did you mean {near[0]!r}?" if near else ""
    raise Misfit([((), WRONG_VALUE, show(value), describe(annotation), hint)])


def _items(make: Any, annotation: Any, inner: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise Misfit([((), WRONG_VALUE, show(value), describe(annotation), _as_list(inner[0], value))])
    return make(_each((index, inner[0], item) for index, item in enumerate(value)))


def _as_list(member: Any, value: Any) -> str:
    """How to write one value where a list of such is wanted."""
    try:
        fit(member, value)
    except Misfit:
        return ""
    return f"write {json.dumps([value], ensure_ascii=False)[:60]}" if isinstance(value, str | int | float) else ""


def _tuple(annotation: Any, inner: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Misfit.of(value, describe(annotation))
    if not inner:
        return tuple(copy.deepcopy(value))
    wanted = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
    if len(wanted) != len(value):
        raise Misfit.of(value, describe(annotation))
    return tuple(_each((index, wanted[index], item) for index, item in enumerate(value)))


def _mapping(annotation: Any, inner: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise Misfit.of(value, describe(annotation))
    keys = list(value)
    if bare(inner[0]) is int:  # JSON has no other keys than strings
        limit, expected = limit_of(inner[0]), f"{describe(inner[0])} as the key"
        bad = [
            key
            for key in keys
            if not (isinstance(key, int) or (isinstance(key, str) and _is_int(key)))
            or (limit is not None and not within(limit, int(key)))
        ]
        if bad:
            faults: list[Fault] = [((key,), WRONG_VALUE, str(key), expected, "") for key in bad]
            try:
                _each((key, inner[1], item) for key, item in value.items() if key not in bad)
            except Misfit as misfit:
                faults += misfit.faults
            raise Misfit(faults)
        keys = [int(key) for key in keys]
    items = _each((key, inner[1], item) for key, item in value.items())
    return dict(zip(keys, items, strict=True))


def _is_int(text: str) -> bool:
    return re.fullmatch("0|-?[1-9][0-9]{0,17}", text) is not None


def _each(parts: Iterable[tuple[Any, Any, Any]]) -> list[Any]:
    """Fit every (key, annotation, value) and report the faults of all."""
    fitted: list[Any] = []
    faults: list[Fault] = []
    for key, annotation, value in parts:
        try:
            fitted.append(fit(annotation, value))
        except Misfit as misfit:
            faults += misfit.inside(key)
    if faults:
        raise Misfit(faults)
    return fitted


def _member(cls: type[enum.Enum], value: Any) -> enum.Enum:
    for name, member in cls.__members__.items():  # aliases too, such as DEFAULT of torchvision's weights
        if member is value or (type(member.value) is type(value) and member.value == value) or name == value:
            return member
    raise Misfit.of(value, describe(cls))


def _dataclass(cls: type, value: Any) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise Misfit.of(value, describe(cls))
    known = parameters(cls).known
    faults: list[Fault] = []
    fitted: dict[str, Any] = {}
    meant: list[str] = []
    for name, item in value.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            meant += near
            faults.append(((name,), f"unknown key {name!r}", "", ", ".join(known), hint))
            continue
        try:
            fitted[name] = fit(known[name].annotation, item, known[name].default)
        except Misfit as misfit:
            faults += misfit.inside(name)
    for name, parameter in known.items():
        if parameter.required and name not in value and name not in meant:
            faults.append(((), f"{name!r} is missing", "", describe(parameter.annotation), ""))
    if not faults:
        try:
            return cls(**fitted)
        except (ValueError, TypeError) as error:
            faults.append(((), str(error), show(value), "", ""))
    raise Misfit(faults)


def describe(annotation: Any) -> str:
    """The annotation as a reader of configurations would write it."""
    limit = limit_of(annotation)
    annotation = bare(annotation)
    if limit is not None and annotation in (int, float):
        return words(limit, whole=annotation is int)
    origin, inner = typing.get_origin(annotation), members(annotation)
    if annotation is None or annotation is types.NoneType:
        return "null"
    if origin is typing.Union or origin is types.UnionType:
        plain = [member for member in inner if reader_of(member) is not None]
        if any(dataclasses.is_dataclass(member) for member in plain):  # as in reading: it says more than a mapping
            plain = [member for member in plain if (typing.get_origin(member) or member) not in MAPPINGS]
        return " or ".join(describe(member) for member in plain)
    if origin is typing.Literal:
        return "one of " + ", ".join("null" if one is None else repr(one) for one in inner)
    base = origin or annotation
    if base in LISTS or base in SETS:
        return _list_of(inner[0]) if inner and inner[0] is not Any else "a list"
    if base is tuple:
        if not inner:
            return "a list"
        if len(inner) == 2 and inner[1] is Ellipsis:
            return _list_of(inner[0])
        if len(inner) > 1 and len(set(inner)) == 1:
            return _list_of(inner[0], len(inner))
        return f"a list [{', '.join(describe(member) for member in inner)}]"
    if base in MAPPINGS:
        return "an object"
    if base is bool:
        return "true or false"
    if base is str:
        return "a string"
    if base in (int, float):
        return "a whole number" if base is int else "a number"
    if inspect.isclass(base) and dataclasses.is_dataclass(base):
        return f"an object with {', '.join(parameters(base).known)}"
    if inspect.isclass(base) and issubclass(base, enum.Enum):
        written = [member.value if isinstance(member.value, str | int | float) else member.name for member in base]
        return "one of " + ", ".join(repr(choice) for choice in written)
    if inspect.isclass(base) and issubclass(base, pathlib.PurePath):
        return "a path"
    if getattr(base, "__name__", "") == "Tensor":
        return "a list of numbers"
    return getattr(base, "__name__", str(base))


def _list_of(member: Any, count: int | None = None) -> str:
    described, many_of = describe(member), f"{count} " if count else ""
    for one, many in (("a whole number", "whole numbers"), ("a number", "numbers"), ("a string", "strings")):
        if described.startswith(one) and " or " not in described:
            return f"a list of {many_of}{many}{described.removeprefix(one)}"
    return f"a list of {count}, each {described}" if count else f"a list of {described}"
