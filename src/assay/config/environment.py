"""Environment variables and files as values of a configuration. What one holds is shown nowhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from assay.config.components import project_root
from assay.config.json_text import parse_json
from assay.utils import secrets

__all__ = ["Unusable", "as_value", "content_of", "text_of"]

MAX_FILE = 64 << 10


class Unusable(Exception):
    """Why the content of a file cannot be a value; `hint` is one thing to try."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


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


def content_of(name: str) -> str:
    """The text of the file, without line ends at its end, as a shell's `$(cat FILE)`; from now on messages hide it.

    Args:
        name: a path, relative to the project's folder; `~` is the home folder.

    Raises:
        Unusable: there is no such file, or it is none that holds a secret.
    """
    try:
        path = project_root() / Path(name).expanduser()
        # Not to wait for the other end of a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise Unusable("is not a regular file")
            content = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise Unusable("is not there", f"looked for {path}; a path is relative to the project's folder") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unusable(f"cannot be read: {reason}", "give the user of the training the right to read it") from None
    if len(content) > MAX_FILE:
        raise Unusable(f"is too large: more than {MAX_FILE // 1024} KiB", "a file for each secret")
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeError:
        raise Unusable("is not UTF-8 text") from None
    if "\0" in text:
        raise Unusable("is not text")
    if not text:
        raise Unusable("is empty")
    secrets.remember(name, text, "file")
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
