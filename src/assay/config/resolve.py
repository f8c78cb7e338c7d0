"""References of a merged configuration followed to what they stand for; every mistake in them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from assay.config.components import nearest
from assay.config.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, At, dotted
from assay.config.durations import Duration
from assay.config.environment import Unusable, as_value, content_of, text_of
from assay.config.references import File, Key, Malformed, Part, Variable, joined, parts_of, written
from assay.errors import Place, Problem
from assay.utils.credentials import names_secret

__all__ = ["Resolved", "resolve"]

_MAX_HOPS = 50


@dataclass
class Resolved:
    """A configuration without references.

    Args:
        data: the values; None where a reference leads nowhere.
        places: where each value stands; inside an object that a reference names, where that object stands.
        keys: where each key of a mapping stands.
        written: by path, the text to write for a value that would be read as another one, or that came from the
            environment or a file and is to be read there again.
        unread: the paths whose references lead nowhere.
        problems: what is wrong with the references.
    """

    data: Any = None
    places: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    written: dict[At, str] = field(default_factory=dict)
    unread: set[At] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def resolve(data: Any, places: Mapping[At, Place], keys: Mapping[At, Place]) -> Resolved:
    """Follow the references in `data`; the environment and files of secrets are read here, and nowhere else."""
    resolver = _Resolver(data, places, keys)
    with suppress(_TooLarge):
        resolver.made.data = resolver.node((), data, ())
    return resolver.made


class _TooLarge(Exception):
    """The references make more than a configuration may hold; said in the last problem."""


class _Broken(Exception):
    """A reference leads nowhere; said where it was found out."""


@dataclass(frozen=True)
class _Leaf:
    """A plain value; `parts` where it was put together from a text with references."""

    value: Any
    parts: tuple[Part, ...] | None = None
    is_broken: bool = False


@dataclass(frozen=True)
class _Where:
    """An object or list, and the path that it is written at."""

    at: At
    raw: Any


class _Resolver:
    def __init__(self, data: Any, places: Mapping[At, Place], keys: Mapping[At, Place]) -> None:
        self.data, self.places, self.keys = data, places, keys
        self.made = Resolved(places=dict(places), keys=dict(keys))
        self.known: dict[At, _Leaf | _Where] = {}
        self.trail: list[At] = []  # the references being followed, each because of the one before it
        self.around: list[tuple[At, int]] = []  # the objects being copied, and the sites passed on the way to each
        self.sites: list[At] = []
        self.nodes = self.characters = 0

    def node(self, at: At, raw: Any, out: At) -> Any:
        """The value written at `at`, for the place `out` of the result."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop(at, "references make the configuration too large", f"at most {MAX_NODES:,} values")
        found = self.leaf(at, raw)
        if isinstance(found, _Where):
            return self.container(found, at, out)
        if found.is_broken:
            self.made.unread.add(out)
        elif found.parts is not None and written(found.parts) != found.value:
            self.made.written[out] = written(found.parts)
        return found.value

    def container(self, found: _Where, at: At, out: At) -> Any:
        is_reference = found.at != at
        entered = next((passed for around, passed in self.around if around == found.at), None)
        if entered is not None:
            self.circle([*self.sites[entered:], at])
            self.made.unread.add(out)
            return None
        if len(out) > MAX_DEPTH:
            self.stop(at, "references nest the configuration too deeply", f"at most {MAX_DEPTH} levels")
        if is_reference:
            self.sites.append(at)
        self.around.append((found.at, len(self.sites)))
        items = found.raw.items() if isinstance(found.raw, dict) else enumerate(found.raw)
        made = {key: self.child((*found.at, key), item, (*out, key)) for key, item in items}
        self.around.pop()
        if is_reference:
            self.sites.pop()
        return made if isinstance(found.raw, dict) else list(made.values())

    def child(self, at: At, raw: Any, out: At) -> Any:
        if at != out:
            for places, copies in ((self.places, self.made.places), (self.keys, self.made.keys)):
                if at in places:
                    copies[out] = places[at]
        return self.node(at, raw, out)

    def leaf(self, at: At, raw: Any) -> _Leaf | _Where:
        """What is written at `at`, its references followed."""
        if isinstance(raw, dict | list):
            return _Where(at, raw)
        if not isinstance(raw, str) or "${" not in raw:
            return _Leaf(raw)
        if at not in self.known:
            try:
                self.known[at] = self.followed(at, raw)
            except _Broken:
                self.known[at] = _Leaf(None, is_broken=True)
        return self.known[at]

    def followed(self, at: At, raw: str) -> _Leaf | _Where:
        if at in self.trail:
            self.circle(self.trail[self.trail.index(at) :])
            raise _Broken
        if len(self.trail) >= _MAX_HOPS:
            self.problem(at, "too many references follow one another", raw, f"at most {_MAX_HOPS}")
            raise _Broken
        self.trail.append(at)
        try:
            parts = parts_of(raw)
            if len(parts) == 1 and isinstance(parts[0], Key):
                return self.leaf(*self.target(parts[0], at))
            return self.text(at, [piece for part in parts for piece in self.pieces(part, at)])
        except Malformed as error:
            place = self.places.get(at)
            self.made.problems.append(
                Problem(error.message, place, dotted(at), error.found, error.expected, error.hint)
            )
            raise _Broken from None
        finally:
            self.trail.pop()

    def text(self, at: At, pieces: list[Part]) -> _Leaf:
        parts = joined(pieces)
        texts = [part if isinstance(part, str) else self.outside(part, at) for part in parts]
        self.characters += sum(map(len, texts))
        if self.characters > MAX_BYTES:
            self.stop(at, "references make the configuration too large", "at most 1 MiB of text")
        # A password of digits is a text, and so is all that stands in a file.
        is_text = bool(at) and names_secret(str(at[-1]))
        alone = len(parts) == 1 and isinstance(parts[0], Variable) and not is_text
        return _Leaf(as_value(texts[0]) if alone else "".join(texts), tuple(parts))

    def pieces(self, part: Part, at: At) -> list[Part]:
        """A part of a text with no key left in it."""
        if not isinstance(part, Key):
            return [part]
        found = self.leaf(*self.target(part, at))
        if isinstance(found, _Where) or (found.value is None and not found.is_broken):
            what = "null" if isinstance(found, _Leaf) else "a list" if isinstance(found.raw, list) else "an object"
            expected = "a string, a number, true or false"
            self.problem(at, "only plain values can stand inside a text", f"{part}, which is {what}", expected)
            raise _Broken
        if found.is_broken:
            raise _Broken
        if found.parts is not None:
            return list(found.parts)
        return [found.value if isinstance(found.value, str) else json.dumps(found.value)]

    def target(self, key: Key, site: At) -> tuple[At, Any]:
        """Where the value that a reference names is written, and what is written there."""
        at: At = ()
        raw = self.data
        for depth, part in enumerate(key.path):
            found = self.leaf(at, raw)
            if isinstance(found, _Leaf) and found.is_broken:
                raise _Broken
            around = found.raw if isinstance(found, _Where) else {}
            step: str | int = part
            if isinstance(around, list) and part.isascii() and part.isdecimal() and len(part) < 9:
                step = int(part)
            inside = step in around if isinstance(around, dict) else isinstance(step, int) and step < len(around)
            if not (isinstance(found, _Where) and inside):
                default = _default(key.path)
                if default is not None:
                    return key.path, default
                self.undefined(key, depth, around, site)
                raise _Broken
            at, raw = (*found.at, step), around[step]
        return at, raw

    def undefined(self, key: Key, depth: int, around: Any, site: At) -> None:
        path, known = key.path, list(around) if isinstance(around, dict) else []
        near = nearest(path[depth], known)
        hint = f"did you mean ${{{dotted((*path[:depth], near, *path[depth + 1 :]))}}}?" if near else ""
        if not near and len(path) == 1 and path[0].isupper():
            hint = f"write ${{env:{path[0]}}} for the environment variable"
        where = dotted(path[:depth]) or "the configuration"
        expected = f"a key of {where}: {', '.join(map(str, known[:20]))}" if known else ""
        if isinstance(around, list):
            expected = f"0 to {len(around) - 1}" if around else "nothing: the list is empty"
        elif not known:
            expected = "" if not depth else f"{where} has no keys"
        self.problem(site, f"{dotted(path)} is referred to and is nowhere set", str(key), expected, hint)

    def outside(self, part: Part, at: At) -> str:
        """What a variable or a file holds."""
        if isinstance(part, File):
            try:
                return content_of(part.name)
            except Unusable as error:
                message = f"the file {part.name} {error.message}"
                self.problem(at, message, str(part), "a small text file with the secret in it", error.hint)
                raise _Broken from None
        assert isinstance(part, Variable)  # `pieces` has left no keys
        try:
            text = text_of(part.name, part.default)
        except UnicodeError:
            self.problem(at, f"the environment variable {part.name} is not UTF-8 text", str(part))
            raise _Broken from None
        if text is None:
            hint = f"set it, or give a default: ${{env:{part.name}:…}}"
            self.problem(at, f"the environment variable {part.name} is not set", str(part), "", hint)
            raise _Broken
        return text

    def circle(self, sites: list[At]) -> None:
        """References that lead back to where they stand: one mistake, whichever of them is met first."""
        first = min(range(len(sites)), key=lambda index: (self.places.get(sites[index]) or Place("~"), sites[index]))
        ordered = [*sites[first:], *sites[:first]]
        chain = " -> ".join(dotted(site) for site in [*ordered, ordered[0]])
        for site in sites:
            self.known[site] = _Leaf(None, is_broken=True)
        self.problem(ordered[0], "references lead back to where they stand", chain, "", "give one of them a value")

    def problem(self, at: At, message: str, found: str, expected: str = "", hint: str = "") -> None:
        self.made.problems.append(Problem(message, self.places.get(at), dotted(at), found, expected, hint))

    def stop(self, at: At, message: str, expected: str) -> None:
        self.problem(at, message, "", expected)
        raise _TooLarge


def _default(path: tuple[str, ...]) -> Any:
    """The plain default of a key that need not be written, such as `seed`."""
    from pydantic import BaseModel  # the courier, which reads configurations too, starts without it

    from assay.config.schema import Config

    fields = Config.model_fields
    for part in path[:-1]:
        section = fields[part].annotation if part in fields else None
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return None
        fields = section.model_fields
    default = fields[path[-1]].default if path[-1] in fields else None
    if isinstance(default, Duration):
        return str(default)
    return default if isinstance(default, str | int | float) else None
