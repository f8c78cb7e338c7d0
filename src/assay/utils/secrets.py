"""What a configuration takes from the environment and from files: known here, so that no message or record shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus

from assay.errors import Place, Problem
from assay.utils.credentials import HIDDEN, credentials_of, masked, names_secret, without_assignments

__all__ = ["conceal", "concealed", "concealed_in", "concealed_source", "forget", "hide", "remember"]

# A shorter value is no secret, and hiding each "7" of a message would only garble it.
_SHORTEST = 4
# In source code, where words of every length are names of something.
_SHORTEST_OF_SOURCE = 6
# Messages cut long values short: this many characters at the beginning of one give it away.
_BEGINNING = 12


@dataclass(frozen=True)
class _Known:
    """A text to hide; `reference` stands in its place."""

    name: str
    value: str
    reference: str
    is_credential: bool

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """The value as it is, and as repr, JSON and URLs write it."""
        value = self.value
        written = (repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
        return tuple(dict.fromkeys((value, *written, quote(value, safe=""), quote(value), quote_plus(value))))


_known: list[_Known] = []  # the longest first: a short one inside of it must not uncover it


def remember(name: str, value: str, kind: str = "env") -> None:
    """From now on show `${env:NAME}` wherever `value`, what the variable holds, would be shown.

    The passwords of URLs in it are hidden by themselves too, and each line of several.

    Args:
        kind: `file` for the content of the file `name`.
    """
    reference = f"${{{kind}:{name}}}"
    within = list(credentials_of(value))
    _add(_Known(name, value, reference, kind == "file" or names_secret(name) or bool(within)))
    lines = [line for line in value.splitlines() if len(line) >= 2 * _SHORTEST] if "\n" in value else []
    for part in (*within, *lines):
        _add(_Known(name, part, reference, True))


def hide(value: str) -> None:
    """From now on show `***` in the place of `value`, which stands where it should not."""
    for part in (value, *credentials_of(value)):
        _add(_Known("", part, HIDDEN, True))


def forget() -> None:
    """Know nothing any more (one process may go from one configuration to another: tests do)."""
    _known.clear()


def conceal(text: str, short: Iterable[str] = ()) -> str:
    """`text` with a reference to the variable in the place of what it holds, also as repr, JSON and URLs write it.

    What stands where a URL has a password is hidden in any case.

    Args:
        short: names of variables whose values are hidden although they are short, where they are words of their own.

    >>> remember("PASSWORD", "hunter22")
    >>> conceal("no user 'me' with 'hunter22' at http://you:else@host")
    "no user 'me' with '${env:PASSWORD}' at http://you:***@host"
    >>> forget()
    """
    for known in _known:
        if len(known.value) >= _SHORTEST:
            for form in known.forms:
                text = _without(text, form, known.reference)
        elif known.value and known.name in short:
            text = _without_word(text, known.value, known.reference)
    return masked(text)


def concealed_source(text: str) -> str:
    """A source file without credentials, and otherwise as it is: what is no credential may be a name in the code."""
    for known in _known:
        if known.is_credential and len(known.value) >= _SHORTEST_OF_SOURCE:
            for form in known.forms:
                text = _without_word(text, form, known.reference)
    return masked(text)


def concealed(problem: Problem, short: Iterable[str] = ()) -> Problem:
    """The problem with nothing in it that came from the environment; what is expected did not."""
    place = problem.place
    if place and place.file.startswith("--"):  # a setting, with its value
        place = Place(without_assignments(concealed_source(place.file)))
    # The line that a mistake stands in may hold a password which nothing has read yet.
    shows_none = without_assignments(concealed_source(problem.excerpt)) == problem.excerpt
    return replace(
        problem,
        message=conceal(problem.message, short),
        place=place,
        found=conceal(problem.found, short),
        hint=conceal(problem.hint, short),
        excerpt=problem.excerpt if shows_none else "",
    )


def concealed_in(value: Any) -> Any:
    """The same objects and lists with every text in them concealed."""
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, dict):
        return {key: concealed_in(item) for key, item in value.items()}
    return [concealed_in(item) for item in value] if isinstance(value, list | tuple) else value


def _add(known: _Known) -> None:
    if known not in _known:
        _known.append(known)
        _known.sort(key=lambda known: len(known.value), reverse=True)


def _without(text: str, value: str, reference: str) -> str:
    beginning = value[:_BEGINNING]
    parts: list[str] = []
    start = 0
    while (found := text.find(beginning, start)) >= 0:
        end = found + len(beginning)
        while end < len(text) and end - found < len(value) and text[end] == value[end - found]:
            end += 1
        parts += [text[start:found], reference]
        start = end
    return "".join([*parts, text[start:]]) if parts else text


def _without_word(text: str, value: str, reference: str) -> str:
    if value not in text:
        return text
    return re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", lambda _: reference, text)
