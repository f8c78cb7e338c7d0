"""What a value of a configuration means, where it came from, and what else it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from assay.config.check import SLOTS, Checked, Examined, of_groups
from assay.config.components import nearest
from assay.config.credentials import without_credentials
from assay.config.document import At, dotted, undotted
from assay.config.provenance import origin
from assay.config.schema import Component, Config
from assay.errors import ConfigError, Problem
from assay.experiment.catalog import KINDS
from assay.experiment.inventory import MEANINGS, Argument, Entry
from assay.experiment.key_words import in_words
from assay.experiment.section_schema import key_default
from assay.utils.credentials import without_assignments
from assay.utils.secrets import conceal

__all__ = ["Explanation", "explained", "origins"]

_MOST_NAMES = 40


@dataclass(frozen=True)
class Explanation:
    """One key.

    Args:
        values: of the key, or of every leaf under it: value, `from`, and what it replaced, by full key.
        meaning: from the description of the section or the docstring of the class.
        allowed: what it may be, in words.
        default: as JSON; empty where there is none.
    """

    key: str
    values: dict[str, dict[str, Any]]
    meaning: str
    allowed: str
    default: str


def explained(found: Examined, key: str) -> Explanation:
    """Explain a key such as `optimizer.args.lr`, given in the configuration or not.

    Raises:
        ConfigError: the configuration has no such key and could have none.
    """
    at = undotted(key)
    written = not found.problems and found.config is not None
    values = found.checked().origin if written else origin(found.source.raw, found.source)
    below = {name: _shown(name, entry) for name, entry in values.items() if f"{name}.".startswith(f"{key}.")}
    facts = _facts(at, _entries(found)) if below else _facts_of_absent(at, _entries(found))
    if facts is None and not below:
        known = sorted({*values, *(dotted((*at_, *rest)) for at_, rest in _possible(found))})
        near = nearest(key, known)
        around = [name for name in known if name.rpartition(".")[0] == key.rpartition(".")[0]]
        raise ConfigError.of(
            Problem(
                f"a configuration has no key {key!r}",
                found=key,
                expected=", ".join(around[:_MOST_NAMES]),
                hint=f"did you mean {near!r}?" if near else "see docs/config.md for every key",
            )
        )
    meaning, allowed, default = facts or ("", "", "")
    if not below and default:
        below = {key: {"value": _unquoted(default), "from": "default"}}
    return Explanation(key, below, meaning, allowed, default)


def _shown(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Without a password that a configuration with this mistake holds."""
    at = undotted(name)
    replaced = [{**old, "value": without_credentials(at, old["value"])} for old in entry.get("replaced", ())]
    shown = {
        **entry,
        "value": without_credentials(at, entry["value"]),
        "from": without_assignments(conceal(entry["from"])) if entry["from"].startswith("--") else entry["from"],
    }
    return {**shown, "replaced": replaced} if replaced else shown


def origins(checked: Checked) -> dict[str, dict[str, Any]]:
    """Of every leaf of a configuration its value, where it came from, what it replaced, its meaning and what it may
    be: what the run folder keeps.
    """
    entries = {at: Entry(_kind(at), bound.name, bound.obj) for at, bound in checked.components.items()}
    made = {}
    for key, entry in checked.origin.items():
        meaning, allowed, _ = _facts(undotted(key), entries) or ("", "", "")
        extra = {"meaning": meaning, "allowed": allowed}
        made[key] = {**entry, **{name: text for name, text in extra.items() if text}}
    return made


def _kind(at: At) -> Any:
    slot = next(slot for slot in SLOTS if at[: len(slot.at)] == slot.at)
    return KINDS[slot.kind]


def _entries(found: Examined) -> dict[At, Entry]:
    return {at: Entry(_kind(at), bound.name, bound.obj) for at, bound in found.components.items()}


def _facts_of_absent(at: At, entries: Mapping[At, Entry]) -> tuple[str, str, str] | None:
    """The same of a key that is not given; what would stand inside of a value has the value's, and no default."""
    facts, value = _facts(at, entries), at
    while facts is not None and len(value) > 1 and _facts(value[:-1], entries) == facts:
        value = value[:-1]
    if facts is None or value == at:
        return facts
    meaning, allowed, _ = facts
    is_list, is_item = allowed.startswith("a list"), isinstance(at[len(value)], int)
    return (meaning, allowed, "") if (is_item and is_list) or allowed.startswith("an object") else None


def _facts(at: At, entries: Mapping[At, Entry]) -> tuple[str, str, str] | None:
    """Meaning, what is allowed, default; None where the key is unknown."""
    for place, entry in entries.items():
        if at[: len(place)] == place:
            rest = at[len(place) :]
            if rest == ("type",):
                return entry.summary or MEANINGS[entry.kind.name], _names(entry), ""
            if len(rest) >= 2 and rest[0] == "args":
                return _argument(entry, str(rest[1]))
            if len(rest) >= 3 and rest[0] == "groups" and rest[2] != "match":
                facts = _argument(Entry(of_groups(entry.kind), entry.name, entry.obj), str(rest[2]))
                return facts and (*facts[:2], "")  # a group has what the optimizer has
    return _of_section(Config, at, ())


def _argument(entry: Entry, name: str) -> tuple[str, str, str] | None:
    for argument, _ in entry.arguments():
        if argument.name == name:
            supplied = "; assay supplies it" if argument.supplied else ""
            meaning = f"{argument.meaning} ({entry.name})" if argument.meaning else f"an argument of {entry.name}"
            return meaning, (argument.type or "anything") + supplied, _default(argument)
    return None


def _default(argument: Argument) -> str:
    return "" if argument.supplied else argument.shown_default


def _names(entry: Entry) -> str:
    own = sorted(entry.kind.table)
    count = len(entry.kind.names()) - len(own)
    more = f", and {count} of packages (assay components {entry.kind.name})" if count > 0 else ""
    return f"{', '.join(own[:_MOST_NAMES])}{more}, or package.module:Name of your own"


def _of_section(section: type[BaseModel], at: At, before: At) -> tuple[str, str, str] | None:
    name, rest = at[0], at[1:]
    field = section.model_fields.get(str(name))
    if field is None:
        return None
    inner = field.annotation if isinstance(field.annotation, type) else None
    slot = next((slot for slot in SLOTS if slot.at == (*before, name)), None)
    if slot is not None and slot.many and rest and not isinstance(rest[0], int):
        return None
    if slot is not None and (not rest or rest[0] == "args" or isinstance(rest[0], int)):
        if len(rest) > 1 and rest[0] == "args":
            return None  # of a component that is not known
        what = f"{'a list of components' if slot.many and not rest else 'a component'}: assay components {slot.kind}"
        return (
            MEANINGS[slot.kind] if rest else field.description or "",
            what,
            "" if slot.many and rest else slot.default,
        )
    if rest and inner is not None and issubclass(inner, BaseModel):
        return _of_section(inner, rest, (*before, name))
    schema = _properties(section)[str(name)]
    is_section = inner is not None and issubclass(inner, BaseModel) and not issubclass(inner, Component)
    allowed = (
        "a section: " + ", ".join(inner.model_fields) if is_section and inner else in_words((*before, name), schema)
    )
    default = "" if field.is_required() or is_section else _json(key_default(field))
    return field.description or "", allowed.replace("`", ""), default


@cache
def _properties(section: type[BaseModel]) -> Mapping[str, Any]:
    """The keys of a section as JSON Schema; one section is asked for each of its keys."""
    written: dict[str, Any] = section.model_json_schema()  # of a component: a bare name, or an object
    return dict((written if "properties" in written else written["anyOf"][-1])["properties"])


def _possible(found: Examined) -> Iterator[tuple[At, At]]:
    """Keys that a configuration may have: of the sections, and the arguments of what it names."""

    def sections(section: type[BaseModel], at: At) -> Iterator[At]:
        for name, field in section.model_fields.items():
            yield (*at, name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from sections(field.annotation, (*at, name))

    for at in sections(Config, ()):
        yield at, ()
    for at, entry in _entries(found).items():
        for argument, _ in entry.arguments():
            yield at, ("args", argument.name)


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value, default=str).decode()


def _unquoted(default: str) -> Any:
    import orjson

    try:
        return orjson.loads(default)
    except orjson.JSONDecodeError:
        return default
