"""Mistakes in the sections of a configuration, in words of its user."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.config.components import nearest
from assay.config.document import At, dotted
from assay.config.fitting import show
from assay.config.hints import elsewhere, meant, synonyms
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
# What a section that has no default may look like.
_EXAMPLES: dict[At, str] = {
    ("data",): '"data": {"dataset": "Digits"}',
    ("data", "dataset"): '"dataset": "Digits"',
    ("model",): '"model": {"type": "ResNet", "args": {"width": 16}}',
    ("loss",): '"loss": "CrossEntropyLoss"',
    ("optimizer",): '"optimizer": {"type": "SGD", "args": {"lr": 0.1}}',
}
_PRECISIONS = {"fp16": "float16", "half": "float16", "16": "float16", "bf16": "bfloat16", "32": "float32"}
_PRECISIONS |= {"16-mixed": "float16", "bf16-mixed": "bfloat16", "32-true": "float32"}
_PRECISIONS |= {"fp32": "float32", "single": "float32", "fp64": "float64", "double": "float64", "64": "float64"}
_LIMITS = {
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def section_problems(error: ValidationError, source: Source) -> list[Problem]:
    """Every mistake that the validation of the sections found, with its place."""
    problems = []
    details = error.errors(include_url=False)
    # What stands under a mistyped name is not missing as well.
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    found = {target[: len(at)] for at in unknown if (target := _meant(at))}
    for detail in details:
        at: At = detail["loc"]
        is_copy = at[:3] == ("data", "transforms", "validation") and at[:3] not in source.places
        is_missing = detail["type"] == "missing"
        is_meant = at in found or (
            is_missing and at[-1] == "match" and any(meant(k, ["match"]) for k in detail["input"])
        )
        if not is_copy and not (is_missing and is_meant):
            problems.append(_problem(detail, at, source))
    return problems


def _problem(detail: ErrorDetails, at: At, source: Source) -> Problem:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    key, place = dotted(at), source.place(at)
    if kind == "extra_forbidden":
        return _unknown(at, source)
    if kind == "missing":
        what = f"the section {at[0]!r} is missing" if len(at) == 1 else f"{at[-1]!r} is missing in {dotted(at[:-1])}"
        example = f"add {_EXAMPLES[at]}" if at in _EXAMPLES else ""
        return Problem(what, source.place(at[:-1]), key, expected=_described(at), hint=example)
    if kind == "assay":
        return Problem(context["message"], place, key, show(value), context["expected"], context["hint"])
    hint = ""
    if kind == "literal_error":
        choices = typing.get_args(_annotation(at))
        expected = ", ".join(f'"{choice}"' for choice in choices)
        near = _PRECISIONS.get(str(value).lower(), "") if at == ("host", "precision") else ""
        near = near or nearest(str(value), choices)
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
    hint = hint or _rewritten(kind, value, at)
    wrong = OUT_OF_RANGE if kind in _LIMITS else WRONG_VALUE
    return Problem(f"{_called(at)} {wrong}", place, key, show(value), expected, hint)


def _called(at: At) -> str:
    """The key in a message; with what it is in where it says little by itself."""
    if at and (isinstance(at[-1], int) or at[-1] in ("args", "type")):
        return f"{dotted(at)!r}"
    return f"{at[-1]!r}" if at else "the configuration"


def _rewritten(kind: str, value: Any, at: At) -> str:
    """How to write what was most likely meant, or an empty string."""
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind == "int_type" and isinstance(value, str) and value.removeprefix("-").isdecimal():
        return f"write {value} without quotes"
    if kind == "bool_type" and str(value).lower() in _TRUTHS:
        return f"write {_TRUTHS[str(value).lower()]}"
    if kind == "tuple_type" and isinstance(value, str):
        listed = re.split(r"[,;\s]+", value.strip())
        return f"write {json.dumps(listed, ensure_ascii=False)}"
    if kind == "tuple_type" and isinstance(value, Mapping):
        return "write it as a list: [{…}]" if "type" in value else 'write [{"type": name, "args": {…}}, …]'
    if kind == "dict_type" and at[-1] == "args":
        return 'write {"name": value, …}, or leave it out'
    if kind in ("model_type", "model_attributes_type") and isinstance(value, list) and at == ("data", "transforms"):
        return 'write {"train": […], "test": […]}'
    if kind in ("model_type", "model_attributes_type") and isinstance(value, list) and len(value) == 1:
        return "only one stands here: write it without the brackets"
    if value is None and not _is_required(at):
        return "leave it out"
    if value is None and at in _EXAMPLES:
        return f"write {_EXAMPLES[at]}"
    if at == ("host", "device") and isinstance(value, str):
        meant_device = re.sub("^gpu", "cuda", value.lower()) if value else ""
        found = re.match(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", meant_device)
        return f'did you mean "{found[0]}"?' if found else ""
    return ""


_TRUTHS = {"true": "true", "yes": "true", "on": "true", "1": "true"}
_TRUTHS |= {"false": "false", "no": "false", "off": "false", "0": "false"}


def _meant(at: At) -> At:
    """The key that an unknown one stands for, of the same section or of one inside; a class as the key is the type."""
    around, name = at[:-1], str(at[-1])
    if inside := _inside(around, name):
        return inside
    near = meant(name, _keys(around)) or ("type" if _is_component(around) and name[:1].isupper() else "")
    return (*around, near) if near else ()


def _inside(around: At, name: str) -> At:
    """The path of a key of exactly this name, here or elsewhere, in one of the sections here; or an empty one."""
    names = {name, *synonyms(name)} - {"type", "args"}
    if not names.isdisjoint(_keys(around)):
        return ()
    return next((path for path in _all_keys(Config, ()) if path[-1] in names and path[:-2] == around), ())


def _unknown(at: At, source: Source) -> Problem:
    around, name = at[:-1], str(at[-1])
    keys = _keys(around)
    near, other = "" if _inside(around, name) else meant(name, keys), elsewhere(name)
    sections = [path for path in _all_keys(Config, ()) if path[-1] == name and _is_section(_annotation(path))]
    hint = f"did you mean {dotted((*around, near))}?" if near else ""
    section = next((other for other in synonyms(name) if around and other in Config.model_fields), "")
    if at == ("data", "split", "train"):
        hint = "leave it out: what the others leave is trained on"
    elif not near and section:
        hint = f"did you mean {section}?"
    elif not near and _is_component(around) and name[:1].isupper():
        hint = f'write {{"type": "{name}", "args": {{…}}}}'
    elif (
        not near
        and not sections
        and _is_component(around)
        and (not other or other.startswith(dotted((*around, "args"))))
    ):
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


def _is_required(at: At) -> bool:
    around, name = _annotation(at[:-1]), at[-1]
    field = around.model_fields.get(name) if _is_section(around) else None
    return field is not None and field.is_required()


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
