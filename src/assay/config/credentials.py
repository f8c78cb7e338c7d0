"""Passwords and tokens written into a configuration: refused, since configurations are shared and runs keep copies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay.config.document import At, dotted
from assay.config.load import Source
from assay.config.provenance import leaves
from assay.config.references import Malformed, Variable, parts_of
from assay.errors import Place, Problem
from assay.utils import secrets
from assay.utils.credentials import HIDDEN, credentials_of, masked_value, names_secret

__all__ = ["credentials_in", "without_credentials"]

# Of "user:password@host:9200", as a list of hosts may hold it.
_WITHOUT_SCHEME = re.compile(r"(?P<before>^[^\s/:@]+:)(?P<secret>[^\s/@]+)(?=@[\w.-]+(?::\d+)?/?$)")
# What stands for a reference in a text: it says itself where its value comes from.
_REFERENCE = "$()"


def credentials_in(source: Source) -> list[Problem]:
    """One mistake for each credential, also for one that something else has replaced: the file with it is kept."""
    problems = []
    for at, text in _texts(source.data):
        problem = _problem(source, at, source.written.get(at), text, source.place(at))
        problems += [problem] if problem else []
    for above, values in source.replaced.items():
        for value, place in values:
            for at, text in _texts(value, above):
                problem = _problem(source, at, text, text, place)
                problems += [problem] if problem else []
    return list(dict.fromkeys(problems))


def without_credentials(at: At, value: Any) -> Any:
    """A value of a configuration as it may be shown: of a secret only that there is one."""
    if isinstance(value, str) and _is_secret(at) and "${" not in value and value:
        return HIDDEN
    return secrets.concealed_in(value)


def _problem(source: Source, at: At, written: str | None, text: str, place: Place) -> Problem | None:
    """Args: written: the text with its references, where it has any; text: without them."""
    literal = text if written is None else _literal(written)
    if _is_secret(at) and literal.replace(_REFERENCE, "") == literal != "":
        found, what = HIDDEN, f"the {_argument(at)} of a logger"
        secrets.hide(literal)
    else:
        hosts = _is_of_logger(at)
        found = masked_value(literal)
        found = _WITHOUT_SCHEME.sub(rf"\g<before>{HIDDEN}", found) if hosts else found
        if found == literal:
            return None
        what = "a password or token in a URL"
    for secret in (*credentials_of(literal), *(found_["secret"] for found_ in _WITHOUT_SCHEME.finditer(literal))):
        secrets.hide(secret)
    name = _variable(source, at)
    hint = f'write "${{env:{name}}}" and run: read -rs {name} && export {name}; or "${{file:PATH}}" for a file with it'
    shown = found.replace(_REFERENCE, "${…}")
    return Problem(f"{what} is written out", place, dotted(at), repr(shown), "a reference to where it is kept", hint)


def _literal(written: str) -> str:
    """The text with a mark for every reference, and with the defaults of variables: these are written out too."""
    try:
        parts = parts_of(written)
    except Malformed:
        return written
    return "".join(
        part if isinstance(part, str) else (isinstance(part, Variable) and part.default) or _REFERENCE for part in parts
    )


def _texts(value: Any, at: At = ()) -> Iterator[tuple[At, str]]:
    for path, leaf in leaves(value, at):
        if isinstance(leaf, str) and leaf:
            yield path, leaf
        elif isinstance(leaf, int) and not isinstance(leaf, bool) and _is_secret(path):
            yield path, str(leaf)


def _is_of_logger(at: At) -> bool:
    return len(at) > 3 and at[0] == "loggers" and at[2] == "args"


def _is_secret(at: At) -> bool:
    return _is_of_logger(at) and names_secret(_argument(at))


def _argument(at: At) -> str:
    """The innermost name on the way: of `…api_key.0` it is api_key."""
    return next(str(part) for part in reversed(at) if isinstance(part, str))


def _variable(source: Source, at: At) -> str:
    """A name for the variable: MONGO_URL for `mongo_url`, ELASTIC_PASSWORD for the `password` of ElasticLogger."""
    name = re.sub(r"\W", "_", _argument(at)).upper()
    if _is_of_logger(at) and "_" not in name:
        loggers = source.data.get("loggers")
        index = at[1] if isinstance(at[1], int) else -1
        entry = loggers[index] if isinstance(loggers, list) and 0 <= index < len(loggers) else None
        type_ = entry.get("type") if isinstance(entry, Mapping) else None
        owner = str(type_ or "").rpartition(":")[2].removesuffix("Logger").upper()
        name = f"{re.sub(r'[^A-Z0-9_]', '_', owner)}_{name}" if owner else name
    return name if re.match(r"[A-Z_]", name) else f"_{name}"
