"""Environment variables as values of a configuration. What one holds is shown nowhere."""

from __future__ import annotations

import os

from assay.config.json_text import parse_json
from assay.utils import secrets

__all__ = ["as_value", "text_of"]


def text_of(name: str, default: str | None) -> str | None:
    """What the variable holds, else `default`; from now on messages hide what it holds.

    Raises:
        UnicodeError: it holds bytes that are not UTF-8.
    """
    text = os.environ.get(name)
    if text is None:
        return default
    text.encode("utf-8")
    secrets.remember(name, text)
    return text


def as_value(text: str) -> str | int | float | bool | None:
    """A number, true, false or null where the text is one in JSON, else the text: as `--set` reads it.

    >>> as_value("1e-3"), as_value("true"), as_value("data"), as_value("[1]")
    (0.001, True, 'data', '[1]')
    """
    document = parse_json(text, "")
    if document.problems or isinstance(document.data, dict | list | str):
        return text
    value: int | float | bool | None = document.data
    return value
