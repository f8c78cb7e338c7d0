"""References inside the texts of a configuration, as they are written.

`${key.path}` is another value of the same configuration, `${env:NAME}` and `${env:NAME:default}` an environment
variable, `${file:PATH}` the content of a file. `$${` stands for the characters `${`: of the dollars before a brace, two
are one dollar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.config.document import dotted, path_of

__all__ = ["File", "Key", "Malformed", "Part", "Variable", "joined", "parts_of", "written"]

_OPENING = re.compile(r"(\$+)\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMS = "${key.path}, ${env:NAME}, ${env:NAME:default} or ${file:PATH}"
_LITERAL = "write $${ for the characters ${"


@dataclass(frozen=True)
class Key:
    """A reference to the value at a path of keys and indices."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"${{{dotted(self.path)}}}"


@dataclass(frozen=True)
class Variable:
    """A reference to an environment variable; `default` is its text where it is not set."""

    name: str
    default: str | None = None

    def __str__(self) -> str:
        return f"${{env:{self.name}}}" if self.default is None else f"${{env:{self.name}:{self.default}}}"


@dataclass(frozen=True)
class File:
    """A reference to the content of a file; `name` is its path as it is written."""

    name: str

    def __str__(self) -> str:
        return f"${{file:{self.name}}}"


Part = str | Key | Variable | File


class Malformed(Exception):
    """What is wrong with the writing of a reference."""

    def __init__(self, message: str, found: str, expected: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.found, self.expected, self.hint = message, found, expected, hint


def parts_of(text: str) -> list[Part]:
    """The plain pieces of a text and the references between them.

    >>> parts_of("run-${seed} $${x}")
    ['run-', Key(path=('seed',)), ' ${x}']

    Raises:
        Malformed: a reference is not closed, or not one of the forms.
    """
    parts: list[Part] = []
    start = 0
    while opening := _OPENING.search(text, start):
        dollars = len(opening[1])
        literal = text[start : opening.start()] + "$" * (dollars // 2)
        if dollars % 2 == 0:
            parts.append(literal + "{")
            start = opening.end()
            continue
        end = text.find("}", opening.end())
        inside = text[opening.end() : end if end >= 0 else None]
        if end < 0:
            raise Malformed("this reference is never closed", "${" + inside[:60], "} at its end", _LITERAL)
        if "${" in inside:
            raise Malformed("a reference stands inside another one", "${" + inside[:60], "one after the other")
        parts += [literal, _reference(inside)]
        start = end + 1
    return joined([*parts, text[start:]])


def joined(parts: Iterable[Part]) -> list[Part]:
    """The same with neighbouring plain pieces as one, and without empty ones."""
    made: list[Part] = []
    for part in parts:
        if isinstance(part, str) and made and isinstance(made[-1], str):
            made[-1] += part
        elif part != "":
            made.append(part)
    return made


def written(parts: Sequence[Part]) -> str:
    """The text that `parts_of` reads as these parts."""
    texts = []
    for index, part in enumerate(parts):
        if isinstance(part, str):
            ending = r"\$+(?=\{)" if index + 1 == len(parts) else r"\$+(?=\{|\Z)"
            texts.append(re.sub(ending, lambda dollars: dollars[0] * 2, part))
        else:
            texts.append(str(part))
    return "".join(texts)


def _reference(inside: str) -> Key | Variable | File:
    found = f"${{{inside[:60]}}}"
    kind, colon, rest = inside.partition(":")
    if colon and kind == "env":
        name, colon, default = rest.partition(":")
        if not _NAME.fullmatch(name):
            raise Malformed("this is no name of an environment variable", found, "${env:NAME} or ${env:NAME:default}")
        return Variable(name, default if colon else None)
    if colon and kind == "file":
        if not rest.strip() or not rest.isprintable():
            raise Malformed("this names no file", found, "${file:PATH}")
        return File(rest)
    path = path_of(inside)
    if path and not re.search(r'^[^"]*[:$]', inside):
        return Key(path)
    name = re.split(r"[^A-Za-z0-9_]", rest if colon else inside)[0]
    hint = f"write ${{env:{name}}} for the environment variable" if colon and "env" in kind and name else _LITERAL
    raise Malformed("this is not a reference", found, _FORMS, hint)
