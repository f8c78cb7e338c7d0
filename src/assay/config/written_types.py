"""Types as docstrings write them (`int or tuple of ints, optional`), as annotations; only what is surely read."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, Literal, Union

__all__ = ["written_type"]

_PLAIN: dict[str, Any] = {
    **dict.fromkeys(("int", "ints", "integer", "integers"), int),
    **dict.fromkeys(("float", "floats"), float),
    **dict.fromkeys(("bool", "bools", "boolean", "booleans"), bool),
    **dict.fromkeys(("str", "strs", "string", "strings"), str),
    **dict.fromkeys(("number", "numbers", "scalar"), int | float),
    **dict.fromkeys(("list", "array-like", "sequence"), Sequence[Any]),
    "tuple": tuple[Any, ...],
    **dict.fromkeys(("dict", "dictionary"), dict[str, Any]),
    "none": None,
}
_ASIDE = re.compile(r"^(?:optional|keyword[- ]only|deprecated|default\b.*)$", re.IGNORECASE)


def written_type(text: str) -> Any:
    """The annotation that a docstring's type stands for; `Any` where some part of it is not understood.

    >>> written_type("int or list of float, optional")
    int | collections.abc.Sequence[float]
    """
    members: list[Any] = []
    for part in _parts(text.strip().replace("`", "")):
        if _ASIDE.match(part):
            continue
        member = _atom(part)
        if member is Any:
            return Any
        members.append(member)
    # `None` alone says no more than that it may be left out.
    return Union[tuple(members)] if any(members) else Any  # noqa: UP007  # the members are known at run time only


def _parts(text: str) -> list[str]:
    """The members of a union: what stands between commas, bars and `or`, outside of brackets."""
    parts, depth = [""], 0
    for token in re.findall(r"\s+or\s+|[,|]|\(|\)|.", text, re.DOTALL):
        depth += (token in "[({") - (token in "])}")
        if depth == 0 and (token in ",|" or token.strip() == "or"):
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts if part.strip()]


def _atom(text: str) -> Any:
    name = text.lower()
    if name in _PLAIN:
        return _PLAIN[name]
    if re.fullmatch(r"[{(].*[})]|(['\"]).*\1", text):
        return _choice(text)
    inside = re.fullmatch(r"(\w+)\s*(?:\[(.*)\]|\s+of\s+(.*))", text)
    if inside is None:
        return Any
    outer, inner = inside[1].lower(), inside[2] or inside[3]
    if outer == "optional":
        member = written_type(inner)
        return Any if member is Any else member | None
    if outer == "union":
        return written_type(inner)
    if outer in ("list", "sequence", "iterable", "tuple"):
        several = outer == "tuple" and "," in inner
        members = [written_type(part) for part in (_parts(inner) if several else [inner]) if part != "..."]
        if several and not inner.endswith("..."):
            return tuple[tuple(members)]  # type: ignore[misc]  # the members are known at run time only
        return tuple[members[0], ...] if outer == "tuple" else Sequence[members[0]]  # type: ignore[valid-type]
    return Any


def _choice(text: str) -> Any:
    """`{"a", "b"}` or a quoted word: these strings and no others."""
    try:
        read = ast.literal_eval(text.replace("{", "(").replace("}", ",)"))
    except (ValueError, SyntaxError):
        return Any
    values = read if isinstance(read, tuple) else (read,)
    fine = values and all(value is None or isinstance(value, bool | int | str) for value in values)
    return Literal[values] if fine else Any
