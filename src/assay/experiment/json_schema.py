"""The whole of a configuration as JSON Schema (2020-12), for editors and for checks that run no code.

Every component that has a name has its own arguments. One that is named by a path has any: the schema does not read the
project. A file that `extends` another need not be complete, and `null` deletes in it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from assay.config.check import SLOTS, of_groups
from assay.config.components import Allowed, Kind, Refused, find
from assay.config.json_types import REFERENCE, Schema, or_reference, parameter_schema
from assay.config.schema import Component, Group, Model, Optimizer, Scheduler
from assay.experiment.catalog import KINDS
from assay.experiment.inventory import MEANINGS, Entry, entries, plain_default
from assay.experiment.section_schema import leaf_schema, needed, section_schema

__all__ = ["PACKAGES", "json_schema", "schema_text"]

# What the names and arguments come from; with others the schema is another.
PACKAGES = ("torch", "torchvision", "torchmetrics")

_PATH = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*$"
# Packages of which no project has its own, so that a path into them is wrong whatever the project is.
_FOREIGN = (
    "_posixsubprocess|_thread|asyncio|builtins|codecs|concurrent|ctypes|functools|gc|http|importlib|inspect|io|joblib"
    "|logging|marshal|multiprocessing|numpy|operator|os|pathlib|pickle|pip|pkgutil|posix|pty|pydoc|runpy|setuptools"
    "|shelve|shutil|socket|ssl|subprocess|sys|tempfile|threading|timeit|urllib|webbrowser|yaml|zipfile"
)
_SECTIONS: Mapping[str, type[Component]] = {"model": Model, "optimizer": Optimizer, "scheduler": Scheduler}


def json_schema(allowed: Allowed) -> Schema:
    """The schema of configurations; the same packages give the same text."""
    sections = section_schema()["properties"]
    definitions: Schema = {
        # What an entry is in a file that extends another: without null in it, it can be held against its schema.
        "whole": {"not": {"type": "null"}, "additionalProperties": {"$ref": "#/$defs/whole"}}
    }
    for kind in KINDS.values():
        definitions |= _definitions(kind, entries(kind, allowed), allowed)
    definitions = {**_shared(definitions), **definitions}
    definitions |= {f"section.{name}": section for name, section in sections.items()}
    references = {name: {"$ref": f"#/$defs/section.{name}"} for name in sections}
    layers = {name: {"if": {"$ref": "#/$defs/whole"}, "then": reference} for name, reference in references.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES),
        "title": "A run of assay",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "description": "This file, for editors."},
            "extends": {
                "description": "The configuration, or several, that this one builds on; relative to this file.",
                "type": ["string", "array"],
                "items": {"type": "string"},
            },
            **{name: {"description": section["description"]} for name, section in sections.items()},
        },
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"properties": layers},
        "else": {"properties": references, "allOf": [needed()]},
        "$defs": definitions,
    }


def schema_text(schema: Schema) -> str:
    """The schema as a file, one definition on a line, so that a change shows as what it is."""
    lines = [f" {json.dumps(key)}: {_line(value)}" for key, value in schema.items() if key != "$defs"]
    definitions = [f"  {json.dumps(key)}: {_line(value)}" for key, value in schema["$defs"].items()]
    joined = ",\n".join(definitions)
    return ",\n".join(["{\n" + lines[0], *lines[1:], f' "$defs": {{\n{joined}\n }}\n}}\n'])


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _shared(definitions: Schema) -> Schema:
    """Arguments that several components have in the same words, taken out of them: half of the text is left."""
    owners = [one["properties"]["args"]["properties"] for one in definitions.values() if _has_arguments(one)]
    counts = Counter((name, json.dumps(schema)) for owner in owners for name, schema in owner.items())
    shared: Schema = {}
    numbers: Counter[str] = Counter()
    for (name, text), count in counts.items():
        if count < 3 or len(text) < 60:
            continue
        numbers[name] += 1
        shared[f"shared.{name}.{numbers[name]}"] = json.loads(text)
        for owner in owners:
            if json.dumps(owner.get(name)) == text:
                owner[name] = {"$ref": f"#/$defs/shared.{name}.{numbers[name]}"}
    return shared


def _has_arguments(definition: Schema) -> bool:
    args = definition.get("properties", {}).get("args", {})
    return "properties" in args


def _definitions(kind: Kind, found: Sequence[Entry], allowed: Allowed) -> Schema:
    """What may stand in the slots of a kind: a name, or an object whose arguments follow from its type."""
    name: Schema = {
        "type": "string",
        "anyOf": [
            {"enum": [entry.name for entry in found], "enumDescriptions": [entry.summary for entry in found]},
            {"pattern": _paths(kind, allowed)},
            {"pattern": REFERENCE},
        ],
    }
    section = _SECTIONS.get(kind.name, Component)
    extra = section.model_json_schema()
    properties = {
        key: {"description": value["description"], **leaf_schema(value)}
        for key, value in extra.get("anyOf", [{}, extra])[1]["properties"].items()
        if key not in ("type", "args", "groups")
    }
    made = {
        kind.name: {
            "description": MEANINGS[kind.name],
            "anyOf": [{"$ref": f"#/$defs/{kind.name}.name"}, {"$ref": f"#/$defs/{kind.name}.object"}],
        },
        f"{kind.name}.name": name,
        f"{kind.name}.object": {
            "type": "object",
            "properties": {
                "type": {"description": "Its name, or package.module:Name.", "$ref": f"#/$defs/{kind.name}.name"},
                "args": {"description": "Arguments of the class, by name.", **or_reference({"type": ["object"]})},
                **properties,
                **({"groups": _groups()} if section is Optimizer else {}),
            },
            "additionalProperties": False,
            "allOf": [
                {
                    "if": {"properties": {"type": {"enum": _spelled(entry)}}, "required": ["type"]},
                    "then": {"$ref": f"#/$defs/{kind.name}.{entry.name}"},
                }
                for entry in found
            ],
        },
        f"{kind.name}.needs": _needs(kind, found),
    }
    for entry in found:
        made[f"{kind.name}.{entry.name}"] = _component(entry, grouped=section is Optimizer)
    return made


def _component(entry: Entry, grouped: bool) -> Schema:
    """The arguments of one component."""
    arguments = _arguments(entry, entry.kind)
    args: Schema = {"type": ["object"], "properties": arguments}
    if not entry.parameters.open:
        args["additionalProperties"] = False
    made: Schema = {"args": or_reference(args)}
    if grouped:
        own = f"#/$defs/{entry.kind.name}.{entry.name}/properties/args/properties/"
        group: Schema = {"match": {}}
        for name, schema in _arguments(entry, of_groups(entry.kind)).items():
            group[name] = {"$ref": own + name} if schema == arguments[name] else schema
        made["groups"] = {"items": {"properties": group, "additionalProperties": False}}
    return {"description": entry.summary, "properties": made}


def _arguments(entry: Entry, kind: Kind) -> Schema:
    made: Schema = {}
    for argument, parameter in entry.arguments():
        described: Schema = {"description": argument.meaning} if argument.meaning else {}
        with suppress(ValueError):  # it has none, or JSON cannot say it
            described["default"] = plain_default(argument.default)
        made[argument.name] = {**described, **parameter_schema(parameter, kind.limit(entry.obj, argument.name))}
    return made


def _groups() -> Schema:
    match = Group.model_json_schema()["properties"]["match"]
    described = {"match": {"description": match["description"], **leaf_schema(match)}}
    group = {"type": "object", "properties": described, "required": ["match"]}
    groups = or_reference({"type": ["array"], "items": group})
    return {"description": "Parameter groups with arguments of their own.", **groups}


def _needs(kind: Kind, found: Sequence[Entry]) -> Schema:
    """What a component must have where no other file can have it."""
    default = next((slot.default for slot in SLOTS if slot.kind == kind.name and slot.default and not slot.many), "")
    named = {"then": {"$ref": f"#/$defs/{kind.name}.{default}"}} if default else {"then": {"required": ["type"]}}
    made: list[Schema] = [{"if": {"type": "object", "not": {"required": ["type"]}}, **named}]

    def required(entry: Entry) -> list[str]:
        return [argument.name for argument, _ in entry.arguments() if argument.required]

    for names, group in groupby(sorted(found, key=required), required):
        if not names:
            continue
        spelled = [spelling for entry in group for spelling in _spelled(entry)]
        complete = {"required": ["args"], "properties": {"args": {"required": names}}}
        made.append({"not": {"enum": spelled}})  # a bare name gives no arguments
        made.append({"if": {"properties": {"type": {"enum": spelled}}, "required": ["type"]}, "then": complete})
    return {"allOf": made}


def _spelled(entry: Entry) -> list[str]:
    """The name of a component, and the paths that lead to the same."""
    path = entry.kind.table.get(entry.name, "")
    packages = [family.package for family in entry.kind.families if not path and entry.name in family.listed()]
    paths = [path] if path else [f"{package}:{entry.name}" for package in packages]
    return [entry.name, *(spelling for one in paths for spelling in (one, one.replace(":", ".")))]


def _paths(kind: Kind, allowed: Allowed) -> str:
    """Paths of the project's own, and into the packages that this kind may come from."""
    pattern = rf"^(?!({'|'.join(PACKAGES)}|{_FOREIGN})[.:])(?!(.*[.:])?__){_PATH}"
    for package in dict.fromkeys(family.package for family in kind.families):
        # What the package has is known; what its modules have is not worth the list.
        names = "|".join(name for name in dir(importlib.import_module(package)) if _fits(kind, package, name, allowed))
        escaped = package.replace(".", r"\.")
        others = (family.package for other in KINDS.values() if other.name != kind.name for family in other.families)
        below = {other.removeprefix(f"{package}.") for other in others if other.startswith(f"{package}.")}
        kept = f"(?!({'|'.join(sorted(below))})[.:])" if below else ""
        pattern += rf"|^{escaped}[.:]({names})$|^{escaped}\.{kept}[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*$"
    return pattern


def _fits(kind: Kind, package: str, name: str, allowed: Allowed) -> bool:
    try:
        return not inspect.isabstract(find(kind, f"{package}:{name}", allowed))
    except Refused:
        return False
