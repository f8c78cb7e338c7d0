"""YAML 1.2 (its core schema) with the line and column of every key and value.

Only what JSON can say too: no tags, no merge keys, one document. `1e-3` is a number and `no` is a string.
Anchors are allowed, as copies, within a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from assay.config.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PROBLEMS, At, Document, dotted, unwritable
from assay.config.yaml_words import in_plain_words
from assay.errors import Place, Problem

__all__ = ["parse_yaml"]

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 400
# The parser, which is Python, reads this much in half a second, but takes the square of its length for a tag.
MAX_CHARACTERS = 1 << 18
_REFUSED = (
    (re.compile(r"(?<!\S)![^\s\"']{1000}"), "this is far too long for a tag", "a plain value"),
    # Older YAML ends a line with these, and newer does not.
    (re.compile("[\x85\u2028\u2029]"), "a separator of lines stands in the text", r"\N, \L or \P in double quotes"),
)


class _Stop(Exception):
    """The text cannot be read any further; the reason is the document's last problem."""


def parse_yaml(text: str, file: str) -> Document:
    """The document of a YAML text; mistakes are its `problems`, and `data` is what could be read."""
    builder = _Builder(text, file)
    document = builder.document
    document.is_whole = False
    if len(text) > MAX_CHARACTERS:
        expected = f"at most {MAX_CHARACTERS:,} characters; {MAX_BYTES:,} bytes as JSON"
        document.problems.append(Problem("the configuration is too large for YAML", Place(file), "", "", expected))
        return document
    for pattern, message, expected in _REFUSED:
        if match := pattern.search(text):
            document.problems.append(Problem(message, _place(text, match.start(), file), "", "", expected))
            return document
    try:
        builder.whole()
        document.is_whole = True
    except _Stop:
        pass
    except MarkedYAMLError as error:
        document.problems.append(in_plain_words(error, text, file))
    except ReaderError as error:
        place = _place(text, error.position, file)
        document.problems.append(Problem("a control character stands in the text", place))
    except YAMLError as error:
        document.problems.append(Problem(f"this is not YAML: {error}", Place(file)))
    return document.with_excerpts(text)


def _place(text: str, position: int, file: str) -> Place:
    before = text[:position]
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Builder:
    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.document = Document()
        self.directive = _place(text, max(text.find("%YAML"), 0), file)
        self.events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0

    def place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def problem(
        self, message: str, event: Event, found: str = "", expected: str = "", hint: str = "", at: At = ()
    ) -> None:
        self.document.problems.append(Problem(message, self.place(event), dotted(at), found[:60], expected, hint))
        if len(self.document.problems) == MAX_PROBLEMS:
            self.document.problems.append(Problem("there are too many mistakes to read on", self.place(event)))
            raise _Stop

    def unreadable(self, message: str, event: Event, found: str, expected: str = "", *, at: At) -> None:
        self.problem(message, event, found, expected, at=at)
        self.document.unread.add(at)

    def whole(self) -> None:
        documents = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.problem("there is a second document in this file", event, expected="one document")
                    return
                if event.version is not None and tuple(event.version) != (1, 2):
                    found = "%YAML " + ".".join(map(str, event.version))
                    self.document.problems.append(
                        Problem("configurations are YAML 1.2", self.directive, "", found, "", "remove the line")
                    )
                self.document.data = self.node(next(self.events), ())
            elif isinstance(event, StreamEndEvent) and not documents:
                self.problem("the configuration is empty", event, expected="a mapping")
            elif not isinstance(event, StreamStartEvent):
                continue

    def node(self, event: Event, at: At) -> Any:
        place = self.place(event)
        if isinstance(event, ScalarEvent) and not event.value and event.style is None:
            place = self.document.keys.get(at, place)  # nothing stands there, and the event where the next thing does
        self.document.values[at] = place
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.problem("the configuration has too many values", event, expected=f"at most {MAX_NODES:,}")
            raise _Stop
        if len(at) > MAX_DEPTH:
            self.problem("this is nested too deeply", event, expected=f"at most {MAX_DEPTH} levels")
            raise _Stop
        if isinstance(event, AliasEvent):
            return self.alias(event, at)
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "put it in quotes if it is a string" if str(tag) == "!" else "remove the tag"
            shown = re.sub("^tag:yaml.org,2002:", "!!", str(tag))
            self.problem("a configuration has no tags", event, shown, "a plain value", hint, at)
            if not isinstance(event, MappingStartEvent):
                self.document.unread.add(at)  # what the tag would make of it is not known
        before = self.nodes
        if isinstance(event, MappingStartEvent):
            made: Any = self.mapping(at)
        elif isinstance(event, SequenceStartEvent):
            made = self.items(at)
        else:
            made = self.scalar(event, at)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.anchors[str(anchor)] = made, self.nodes - before + 1
        return made

    def alias(self, event: AliasEvent, at: At) -> Any:
        known = self.anchors.get(str(event.anchor))
        if known is None:
            return self.unreadable("this alias has no anchor before it", event, f"*{event.anchor}", at=at)
        value, size = known
        self.nodes += size
        if self.nodes > MAX_NODES:
            self.problem("aliases make the configuration too large", event, expected=f"at most {MAX_NODES:,} values")
            raise _Stop
        return self.copied(value, at, self.place(event))

    def copied(self, value: Any, at: At, place: Place) -> Any:
        """The value of an anchor again; everything in it stands where the alias stands."""
        self.document.values[at] = place
        if len(at) > MAX_DEPTH:
            self.document.problems.append(Problem("this is nested too deeply", place))
            raise _Stop
        if isinstance(value, dict):
            for key in value:
                self.document.keys[*at, key] = place
            return {key: self.copied(item, (*at, key), place) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copied(item, (*at, index), place) for index, item in enumerate(value)]
        return value

    def mapping(self, at: At) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                self.problem("a key is not a string", event, expected="a name", at=at)
                raise _Stop
            key = event.value
            if unwritable(key):
                self.problem(unwritable(key), event, expected="text", at=at)
                raise _Stop
            inside = (*at, key)
            if key == "<<" and event.style is None:
                self.problem("YAML 1.2 has no merge keys", event, "<<", "a name", "build on a file with `extends`", at)
                self.node(next(self.events), inside)
                continue
            if inside in self.document.keys:
                first = self.document.keys[inside]
                self.problem("this key stands here twice", event, key, "every key once", f"see {first}", inside)
            else:
                self.document.keys[inside] = self.place(event)
            made[key] = self.node(next(self.events), inside)
        return made

    def items(self, at: At) -> list[Any]:
        made: list[Any] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            made.append(self.node(event, (*at, len(made))))
        return made

    def scalar(self, event: Event, at: At) -> Any:
        text: str = getattr(event, "value", "")
        fault = unwritable(text)
        if fault:
            return self.unreadable(fault, event, "", "text", at=at)
        if getattr(event, "style", None) is not None:
            return text
        if text in ("", "~", "null", "Null", "NULL"):
            return None
        if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return text.lower() == "true"
        if _NOT_FINITE.fullmatch(text):
            return self.unreadable("a configuration has only finite numbers", event, text, "a number", at=at)
        if len(text) > _MAX_DIGITS and (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
            return self.unreadable(
                "this number is too long", event, text[:20] + "…", f"at most {_MAX_DIGITS} digits", at=at
            )
        if _INT.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                return self.unreadable("this number is too large", event, text[:40], "at most 1.8e308", at=at)
            return number
        return text
