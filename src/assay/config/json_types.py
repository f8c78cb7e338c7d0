"""Annotations as JSON Schema (2020-12): what `fit` takes the schema takes, and what it refuses the schema refuses.

Two things JSON Schema cannot say: that 64.0 is not the whole number 64, and the value that `"1e-3"` or `"${key}"` has.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import numbers
import pathlib
import types
import typing
from collections.abc import Iterable
from typing import Any

from annotated_types import Interval

from assay.config.annotations import bare, fewest_of, limit_of, members
from assay.config.fitting import LISTS, MAPPINGS, SETS, reader_of
from assay.config.limits import Limit
from assay.config.signatures import Parameter, parameters

__all__ = ["REFERENCE", "Schema", "json_type", "merged", "or_reference", "parameter_schema"]

Schema = dict[str, Any]

REFERENCE = r"\$\{"  # a text with ${…} in it may become any value
_EXPONENT = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"
_NUMBER: Schema = {"type": ["number", "string"], "pattern": _EXPONENT}
_PLAIN: dict[Any, Schema] = {
    None: {"type": ["null"]},
    types.NoneType: {"type": ["null"]},
    bool: {"type": ["boolean"]},
    int: {"type": ["integer"]},
    float: _NUMBER,
    str: {"type": ["string"]},
}
_NO_TEXT = ("null", "boolean", "number", "array", "object")
# The keywords that speak of one type only, so that members of a union can stand side by side in one schema.
_KEYWORDS = {
    "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "object": ("properties", "required", "additionalProperties", "propertyNames", "minProperties"),
    "string": ("pattern",),
}


def parameter_schema(parameter: Parameter, limit: Limit | None = None) -> Schema:
    """The schema of one argument, with no description and no default; `{}` where anything may be given."""
    annotation = parameter.annotation
    schema = _of(annotation)
    if limit is not None:
        if annotation is Any and isinstance(limit, Interval):  # a range says that numbers are wanted
            schema = {**_NUMBER, "type": ["number", "array", "null", "string"]}
        schema = _limited(schema, limit)
    if parameter.default is None:
        schema = merged([schema, _PLAIN[None]]) if schema else schema
    return or_reference(schema)


def json_type(annotation: Any) -> Schema:
    """The schema of an annotation; a reference may stand for the whole value and for every part of it."""
    return or_reference(_of(annotation))


def or_reference(schema: Schema) -> Schema:
    """The schema, or text with a reference; types that are one are written as one."""
    if not schema:
        return schema
    if not _is_flat(schema):
        return _tidy({"anyOf": [*schema.get("anyOf", [schema]), {"type": "string", "pattern": REFERENCE}]})
    kinds = list(schema["type"]) if isinstance(schema["type"], list) else [schema["type"]]
    if "string" not in kinds:
        return {**schema, "type": [*kinds, "string"], "pattern": REFERENCE}
    return _tidy({**schema, "pattern": f"{schema['pattern']}|{REFERENCE}"} if "pattern" in schema else schema)


def _is_flat(schema: Schema) -> bool:
    return "type" in schema and not {"anyOf", "enum", "const", "$ref"} & schema.keys()


def _tidy(schema: Schema) -> Schema:
    """A list of one type is that type."""
    if isinstance(schema.get("type"), list) and len(schema["type"]) == 1:
        schema = {**schema, "type": schema["type"][0]}
    if "anyOf" in schema:
        schema = {**schema, "anyOf": [_tidy(member) for member in schema["anyOf"]]}
    return schema


def _of(annotation: Any) -> Schema:
    """The schema of an annotation, without references to the whole of it; mirrors the readers of `fitting`."""
    limit, least = limit_of(annotation), fewest_of(annotation)
    annotation = bare(annotation)
    schema = _of_bare(annotation)
    if least:
        schema = {**schema, "minProperties" if "object" in schema.get("type", ()) else "minItems": least}
    return schema if limit is None else _limited(schema, limit)


def _of_bare(annotation: Any) -> Schema:
    origin, inner = typing.get_origin(annotation), members(annotation)
    base = origin or annotation
    if base is typing.Union or base is types.UnionType:
        return _union(inner)
    if base is typing.Literal:
        return {"enum": list(inner)}
    if base in _PLAIN:
        return dict(_PLAIN[base])
    if base in LISTS or base in SETS:
        return _array(inner[0] if inner else Any)
    if base is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return _array(inner[0])
        parts = [json_type(member) for member in inner]
        counted = {"prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)} if parts else {}
        return {"type": ["array"], **counted}
    if base in MAPPINGS:
        return _mapping(*(inner or (Any, Any)))
    return _of_class(base) if inspect.isclass(base) else {}


def _array(item: Any) -> Schema:
    items = json_type(item)
    return {"type": ["array"], **({"items": items} if items else {})}


def _mapping(key: Any, item: Any) -> Schema:
    values = json_type(item)
    made: Schema = {"type": ["object"]}
    if bare(key) is int:
        minus = "" if limit_of(key) == Interval(ge=0) else "-?"
        made["propertyNames"] = {"pattern": f"^(0|{minus}[1-9][0-9]{{0,17}})$"}
    return {**made, "additionalProperties": values} if values else made


def _of_class(cls: type) -> Schema:
    if issubclass(cls, numbers.Number):
        return dict(_NUMBER)
    if issubclass(cls, enum.Enum):
        words = [member.value for member in cls if isinstance(member.value, bool | int | float | str)]
        return {"enum": list(dict.fromkeys([*words, *cls.__members__]))}
    if issubclass(cls, pathlib.PurePath):
        return {"type": ["string"]}
    if dataclasses.is_dataclass(cls):
        known = parameters(cls).known
        return {
            "type": ["object"],
            "properties": {name: parameter_schema(parameter) for name, parameter in known.items()},
            "required": [name for name, parameter in known.items() if parameter.required],
            "additionalProperties": False,
        }
    if (cls.__module__, cls.__name__) == ("torch", "Tensor"):
        # Lists in lists have no end; here they have one after four dimensions.
        made: Schema = {"type": ["number", "array"]}
        for _ in range(3):
            made = {"type": ["number", "array"], "items": made}
        return made
    if (cls.__module__, cls.__name__) == ("torch", "dtype"):
        torch = importlib.import_module("torch")
        names = sorted(name for name, value in vars(torch).items() if isinstance(value, torch.dtype))
        return {"type": ["string"], "pattern": rf"^(torch\.)?({'|'.join(names)})$"}
    return {}


def _union(members: tuple[Any, ...]) -> Schema:
    readable = [member for member in members if reader_of(member) is not None]
    if not readable or Any in members or object in members:
        return {}
    if len(readable) < len(members) and all(member is types.NoneType for member in readable):
        return {}
    classes = [member for member in readable if dataclasses.is_dataclass(member)]
    if len(classes) == 1:  # says more of an object than a mapping beside it
        readable = [m for m in readable if (typing.get_origin(m) or m) not in MAPPINGS]
    return merged([_of(member) for member in readable])


def merged(members: list[Schema]) -> Schema:
    """One schema that takes what any of the members takes."""
    flat = [member for member in members if _is_flat(member)]
    if len(flat) < len(members) or not all(_agree(flat, *group) for group in _KEYWORDS.items()):
        listed = [inner for member in members for inner in member.get("anyOf", [member])]
        return {"anyOf": [member for number, member in enumerate(listed) if member not in listed[:number]]}
    kinds = list(dict.fromkeys(kind for member in flat for kind in member["type"]))
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    made = {key: value for member in flat for key, value in member.items()}
    if any("string" in member["type"] and "pattern" not in member for member in flat):
        made.pop("pattern", None)
    return {**made, "type": kinds}


def _agree(members: Iterable[Schema], kind: str, keywords: tuple[str, ...]) -> bool:
    """Whether the members that take this type say the same of it; text of any kind goes before a pattern."""
    names = ("number", "integer") if kind == "number" else (kind,)
    said = [{key: member.get(key) for key in keywords} for member in members if not {*names}.isdisjoint(member["type"])]
    said = [one for one in said if kind != "string" or one["pattern"] is not None]
    return all(one == said[0] for one in said)


def _limited(schema: Schema, limit: Limit) -> Schema:
    """The schema with a range for every number in lists, or with the words that a text may be."""
    if isinstance(limit, tuple):
        words: Schema = {"enum": list(limit)}
        members = [_without_text(member) for member in schema.get("anyOf", [schema])]
        return merged([words, *filter(None, members)]) if any(members) else words
    names = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
    bounds = {word: bound for name, word in names.items() if (bound := getattr(limit, name)) is not None}
    return _bounded(schema, bounds)


def _without_text(schema: Schema) -> Schema:
    """What the schema takes beside text; empty where that is nothing."""
    if "enum" in schema:
        others = [word for word in schema["enum"] if not isinstance(word, str)]
        return {"enum": others} if others else {}
    kinds = [kind for kind in schema.get("type", _NO_TEXT) if kind != "string"]
    return {**schema, "type": kinds} if kinds else {}


def _bounded(schema: Schema, bounds: Schema, depth: int = 3) -> Schema:
    made = {**schema, **bounds}
    if "anyOf" in schema:
        made = {"anyOf": [_bounded(member, bounds) for member in schema["anyOf"]]}
    elif depth and "array" in schema.get("type", ("array",)):
        if "prefixItems" in schema:
            made["prefixItems"] = [_bounded(item, bounds, depth - 1) for item in schema["prefixItems"]]
        else:
            made["items"] = _bounded(schema.get("items", {}), bounds, depth - 1)
    return made
