"""What environment variables hold that a configuration names: known here, so that no message and no record shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from assay.errors import Problem

__all__ = ["conceal", "concealed", "concealed_in", "forget", "remember"]

# A shorter value is no secret, and hiding each "7" of a message would only garble it.
_SHORTEST = 4
# Messages cut long values short: this many characters at the beginning of one give it away.
_BEGINNING = 12

_known: dict[str, str] = {}


def remember(name: str, value: str) -> None:
    """From now on show `${env:NAME}` wherever `value`, what the variable holds, would be shown."""
    _known[name] = value


def forget() -> None:
    """Know nothing any more (one process may go from one configuration to another: tests do)."""
    _known.clear()


def conceal(text: str, short: Iterable[str] = ()) -> str:
    """`text` with a reference to the variable in the place of what it holds, also as repr, JSON and URLs write it.

    Args:
        short: names of variables whose values are hidden although they are short, where they are words of their own.

    >>> remember("PASSWORD", "hunter22")
    >>> conceal("no user 'me' with 'hunter22'")
    "no user 'me' with '${env:PASSWORD}'"
    >>> forget()
    """
    for name, value in sorted(_known.items(), key=lambda known: len(known[1]), reverse=True):
        reference = f"${{env:{name}}}"
        if len(value) >= _SHORTEST:
            for form in dict.fromkeys((value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""))):
                text = _without(text, form, reference)
        elif value and name in short:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", reference, text)
    return text


def concealed(problem: Problem, short: Iterable[str] = ()) -> Problem:
    """The problem with nothing in it that came from the environment; what is expected did not."""
    return replace(
        problem,
        message=conceal(problem.message, short),
        found=conceal(problem.found, short),
        hint=conceal(problem.hint, short),
    )


def concealed_in(value: Any) -> Any:
    """The same objects and lists with every text in them concealed."""
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, dict):
        return {key: concealed_in(item) for key, item in value.items()}
    return [concealed_in(item) for item in value] if isinstance(value, list | tuple) else value


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
    return "".join([*parts, text[start:]])
