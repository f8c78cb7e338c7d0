"""One configuration text as data, with the place of every key and value, and the mistakes of its syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.config.components import nearest
from assay.errors import ConfigError, Place, Problem

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_PROBLEMS",
    "At",
    "Document",
    "dotted",
    "path_of",
    "plain",
    "read_text",
    "undotted",
    "unwritable",
]

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 10_000
# In one text: what has more mistakes is some other kind of file.
MAX_PROBLEMS = 200
_EXCERPT = 80  # characters of a line
# The path of a value: the keys and list indices that lead to it.
At = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[^.\[\]\s\"]+")
_PART = re.compile(r'[^.\[\]\s"]+|"[^"]+"')
_PATH = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern}))*")


@dataclass
class Document:
    """Data and where it stands.

    Args:
        values: the place of every value, by path.
        keys: the place of every mapping's key.
        problems: the mistakes of its syntax.
        unread: the paths of values that could not be read; None stands there.
        is_whole: whether the text could be read to its end, past every mistake in it.
    """

    data: Any = None
    values: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[At] = field(default_factory=set)
    is_whole: bool = True

    def with_excerpts(self, text: str) -> Document:
        """The document, its mistakes of syntax with the line that each stands in."""
        lines = text.split("\n")
        for index, problem in enumerate(self.problems):
            place = problem.place
            if not problem.key and place and 0 < place.line <= len(lines) and lines[place.line - 1].strip():
                self.problems[index] = replace(problem, excerpt=_excerpt(lines[place.line - 1], place.column))
        return self


def _excerpt(line: str, column: int) -> str:
    start = max(0, min(column - 1 - _EXCERPT // 2, len(line) - _EXCERPT))
    shown = "".join(character if character.isprintable() else " " for character in line[start : start + _EXCERPT])
    return f"{shown.rstrip()}\n{' ' * (column - 1 - start)}^"


def dotted(at: At) -> str:
    """A path as messages and `--set` write it: `schedulers.0.args.values.8`."""
    return ".".join(str(part) if _BARE_KEY.fullmatch(str(part)) else f'"{part}"' for part in at)


def undotted(key: str) -> At:
    """The path in the key of a message, whose whole numbers are indices of lists; of keys without dots in them."""
    return tuple(int(part) if part.isascii() and part.isdigit() else part for part in key.split("."))


def unwritable(text: str) -> str:
    """What is in a text that no file of text can hold; nothing where it is fine."""
    if "\0" in text:
        return "the zero character stands in a string"
    return "half a character stands in a string" if any("\ud800" <= one <= "\udfff" for one in text) else ""


def path_of(text: str) -> tuple[str, ...] | None:
    """The keys and indices of a path as `dotted` writes it; None where it is not written so.

    >>> path_of('metrics.0.args."a.b"')
    ('metrics', '0', 'args', 'a.b')
    """
    if not _PATH.fullmatch(text):
        return None
    return tuple(part.strip('"') for part in _PART.findall(text))


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: it is missing, no file, too large, or not UTF-8.
    """
    place = Place(str(path))
    if not path.exists():
        stems = {name.stem: name.name for name in _neighbours(path) if name.suffix in (".json", ".yaml", ".yml")}
        near = stems.get(nearest(path.stem, stems), "")
        hint = f"did you mean {path.with_name(near)}?" if near else ""
        raise ConfigError.of(Problem("there is no such configuration file", place, hint=hint))
    if not path.is_file():
        raise ConfigError.of(Problem("this is not a file", place, expected="a .json or .yaml file"))
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError.of(
            Problem("the configuration cannot be read", place, found=error.strerror or str(error))
        ) from error
    if len(content) > MAX_BYTES:
        raise ConfigError.of(Problem("the configuration is too large", place, expected="at most 1 MiB"))
    return _decoded(content, str(path))


def _neighbours(path: Path) -> list[Path]:
    try:
        return sorted(path.parent.iterdir())
    except OSError:
        return []


def _decoded(content: bytes, file: str) -> str:
    hint = "save it as UTF-8 without a byte order mark"
    start = Place(file, 1, 1)
    if content.startswith(b"\xef\xbb\xbf"):
        raise ConfigError.of(Problem("the file starts with a byte order mark", start, "", "UTF-8", "plain UTF-8", hint))
    zeros = content[:200].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or zeros * 3 > len(content[:200]):
        raise ConfigError.of(Problem("the file is not UTF-8 text", start, "", "what looks like UTF-16", "UTF-8", hint))
    if 0 in content:
        raise ConfigError.of(Problem("the file is binary", start, "", "bytes that are zero", "UTF-8 text"))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        found = f"byte 0x{content[error.start]:02x}"
        raise ConfigError.of(Problem("the file is not UTF-8 text", place, "", found, "UTF-8", hint)) from error


def plain(value: Any, place: Place, at: At = ()) -> Document:
    """A document from Python data: JSON's types only, tuples as lists, paths as strings."""
    document = Document()
    document.data = _plain(value, place, at, document)
    return document


def _plain(value: Any, place: Place, at: At, document: Document) -> Any:
    document.values[at] = place
    if len(at) > MAX_DEPTH:
        document.problems.append(Problem("this is nested too deeply", place, dotted(at[:5]) + "…"))
        document.is_whole = False
        return None
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, str | int) or unwritable(str(key)):
                found = f"{key!r}, a {type(key).__name__}"
                document.problems.append(Problem("a key is not a string", place, dotted(at), found))
                continue
            document.keys[*at, str(key)] = place
            made[str(key)] = _plain(item, place, (*at, str(key)), document)
        return made
    if isinstance(value, list | tuple):
        return [_plain(item, place, (*at, index), document) for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if value is None or type(value) in (bool, int) or (type(value) is str and not unwritable(value)):
        return value
    if isinstance(value, float) and value - value == 0:
        return float(value)
    found = f"{repr(value)[:60]}, a {type(value).__name__}"
    expected = "an object, list, string, finite number, true, false or null"
    document.problems.append(Problem("this value has no place in a configuration", place, dotted(at), found, expected))
    document.unread.add(at)
    return None
