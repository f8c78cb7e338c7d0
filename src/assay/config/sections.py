"""Mistakes in the sections of a configuration, in words of its user."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.config.components import nearest
from assay.config.document import At, dotted
from assay.config.fitting import show
from assay.config.hints import elsewhere, meant
from assay.config.load import Source
from assay.config.misfit import OUT_OF_RANGE, WRONG_VALUE
from assay.config.schema import Component, Config
from assay.errors import Problem

__all__ = ["section_problems"]

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "a string",
    "tuple_type": "a list",
    "dict_type": "an object",
}
_PATTERNS: dict[At, str] = {
    ("host", "device"): "auto, cpu, cuda, cuda:N or mps",
    ("project",): "1 to 80 letters, digits, dots, dashes and underscores, the first no dot or dash",
    ("name",): "1 to 80 letters, digits, dots, dashes and underscores, the first no dot or dash",
}
_LIMITS = {
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def section_problems(error: ValidationError, source: Source) -> list[Problem]:
    """Every mistake that the validation of the sections found, with its place."""
    problems = []
    for detail in error.errors(include_url=False):
        at: At = detail["loc"]
        is_copy = at[:3] == ("data", "transforms", "validation") and at[:3] not in source.places
        if not is_copy:
            problems.append(_problem(detail, at, source))
    return problems


def _problem(detail: ErrorDetails, at: At, source: Source) -> Problem:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    key, place = dotted(at), source.place(at)
    if kind == "extra_forbidden":
        return _unknown(at, source)
    if kind == "missing":
        what = f"the section {at[0]!r} is missing" if len(at) == 1 else f"{at[-1]!r} is missing in {dotted(at[:-1])}"
        return Problem(what, source.place(at[:-1]), key, expected=_described(at))
    if kind == "assay":
        return Problem(context["message"], place, key, show(value), context["expected"], context["hint"])
    hint = ""
    if kind == "literal_error":
        choices = typing.get_args(_annotation(at))
        expected = ", ".join(f'"{choice}"' for choice in choices)
        near = nearest(str(value), choices)
        hint = f'did you mean "{near}"?' if near else ""
    elif kind in _LIMITS:
        name, words = _LIMITS[kind]
        expected = f"a whole number {words} {context[name]}"
    elif kind == "string_pattern_mismatch":
        expected = _PATTERNS.get(at, "")
    elif kind == "string_too_short":
        expected = "a string that is not empty"
    elif kind in ("model_type", "model_attributes_type"):
        is_component = _is_component(at)
        expected = (
            'a name, or {"type": name, "args": {…}}' if is_component else f"an object with {', '.join(_keys(at))}"
        )
    else:
        expected = _EXPECTED.get(kind, detail["msg"])
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        hint = f"write {int(value)}"
    wrong = OUT_OF_RANGE if kind in _LIMITS else WRONG_VALUE
    return Problem(
        f"{at[-1] if at else 'the configuration'!r} {wrong}",
        place,
        key,
        show(value),
        expected,
        hint,
    )


def _unknown(at: At, source: Source) -> Problem:
    around, name = at[:-1], str(at[-1])
    keys = _keys(around)
    near, other = meant(name, keys), elsewhere(name)
    hint = f"did you mean {dotted((*around, near))}?" if near else ""
    if not near and _is_component(around) and (not other or other.startswith(dotted((*around, "args")))):
        hint = f"arguments of the class belong in {other or dotted((*around, 'args', name))}"
    elif not near:
        found = [dotted(path) for path in _all_keys(Config, ()) if path[-1] == name and path[:-1] != around]
        found = found[:3] or ([other] if other else [])
        hint = f"did you mean {' or '.join(found)}?" if found else ""
    where = f"in {dotted(around)}" if around else "in a configuration"
    place = source.place(at, key=True)
    return Problem(f"there is no key {name!r} {where}", place, dotted(at), name, ", ".join(keys), hint)


def _annotation(at: At) -> Any:
    """The annotation of the field at a path, without `| None`, and of a list's members for an index."""
    found: Any = Config
    for part in at:
        if isinstance(part, int):
            found = typing.get_args(found)[0]
        else:
            field = found.model_fields.get(part) if _is_section(found) else None
            if field is None:
                return None
            found = field.annotation
            options = [option for option in typing.get_args(found) if option is not type(None)]
            if len(options) == 1 and type(None) in typing.get_args(found):
                found = options[0]
    return found


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_component(at: At) -> bool:
    annotation = _annotation(at)
    return _is_section(annotation) and issubclass(annotation, Component)


def _keys(at: At) -> list[str]:
    annotation = _annotation(at)
    return list(annotation.model_fields) if _is_section(annotation) else []


def _described(at: At) -> str:
    field = _annotation(at[:-1]).model_fields[at[-1]]
    return (
        str(field.description or "").rstrip(".").lower() if len(at) == 1 else str(field.description or "").rstrip(".")
    )


def _all_keys(section: type[BaseModel], at: At) -> Iterator[At]:
    for name, field in section.model_fields.items():
        yield (*at, name)
        if _is_section(field.annotation):
            yield from _all_keys(typing.cast(type[BaseModel], field.annotation), (*at, name))
