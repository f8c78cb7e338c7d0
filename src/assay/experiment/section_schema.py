"""The sections of a configuration as JSON Schema, with a reference to what its components may be in every slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from assay.config.check import SLOTS
from assay.config.document import At
from assay.config.durations import Duration
from assay.config.json_types import Schema, merged, or_reference
from assay.config.schema import Config

__all__ = ["key_default", "leaf_schema", "needed", "section_schema"]

_SLOTS = {slot.at: slot for slot in SLOTS}
_WORDS = ("title", "description", "default")


def section_schema(section: type[BaseModel] = Config, at: At = ()) -> Schema:
    """The keys of a section, with their meanings and defaults; nothing is required (see `needed`)."""
    written = section.model_json_schema()["properties"]
    properties: Schema = {}
    for name, field in section.model_fields.items():
        slot = _SLOTS.get((*at, name))
        if slot is not None:
            component: Schema = {"$ref": f"#/$defs/{slot.kind}"}
            made = or_reference({"type": ["array"], "items": component}) if slot.many else component
            if slot.at == ("data", "transforms", "validation"):  # null stands for those of test
                made = {**made, "type": [*made["type"], "null"]}
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            made = section_schema(field.annotation, (*at, name))
        else:
            made = leaf_schema(written[name])
            if "default" in made:
                made["default"] = key_default(field)
        properties[name] = {"description": field.description, **{key: made[key] for key in made if key != "title"}}
    return or_reference({"type": ["object"], "properties": properties, "additionalProperties": False})


def leaf_schema(written: Mapping[str, Any]) -> Schema:
    """A plain value as pydantic writes it, with a reference as another form of it."""
    made = or_reference(merged([_listed(member) for member in _alternatives(written)]))
    return {**made, "default": written["default"]} if "default" in written else made


def key_default(field: FieldInfo) -> Any:
    """The default of a plain key as a configuration writes it."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Duration):
        return str(default)
    return list(default) if isinstance(default, tuple) else default


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    members = schema.get("anyOf")
    return [one for member in members for one in _alternatives(member)] if members else [schema]


def _listed(schema: Mapping[str, Any]) -> Schema:
    made = {key: value for key, value in schema.items() if key not in _WORDS}
    return made if isinstance(made.get("type"), list) else {**made, "type": [made["type"]]}


def needed() -> Schema:
    """What a configuration that extends no other must have, beyond what `section_schema` says."""
    made: Schema = {}
    for slot in SLOTS:
        place = made
        for part in slot.at:
            place = place.setdefault("properties", {}).setdefault(part, {})
        reference = {"$ref": f"#/$defs/{slot.kind}.needs"}
        place.update({"items": reference} if slot.many else reference)
    for at, names in _required(Config, ()):
        place = made
        for part in at:
            place = place["properties"][part]
        place["required"] = names
    return made


def _required(section: type[BaseModel], at: At) -> Iterator[tuple[At, list[str]]]:
    names = [name for name, field in section.model_fields.items() if field.is_required()]
    if names:
        yield at, names
    for name, field in section.model_fields.items():
        inner = field.annotation
        if (*at, name) not in _SLOTS and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _required(inner, (*at, name))
