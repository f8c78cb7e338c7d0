"""What docstrings say of a class and of its arguments, in plain words, whatever the style they are written in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

__all__ = ["Described", "described", "documentation", "plain", "summary"]

_LONGEST = 300  # characters of a meaning; whole sentences up to here


@dataclass(frozen=True)
class Described:
    """What a docstring says of one argument: its meaning in one paragraph, and its type as it is written."""

    text: str = ""
    written: str = ""


def documentation(obj: Any) -> tuple[str, ...]:
    """The docstrings that may describe the arguments of a class or function, the nearest first."""
    found: list[Any] = [getattr(obj, "__doc__", None)]
    if inspect.isclass(obj):
        # Not `inspect.getdoc`: of a class without its own it gives that of a parent, which comes later here.
        parts = [(vars(base).get("__doc__"), vars(base).get("__init__")) for base in obj.__mro__ if base is not object]
        found = [doc for own, init in parts for doc in (own, getattr(init, "__doc__", None))]
    return tuple(doc for doc in found if isinstance(doc, str) and doc.strip())


@lru_cache(maxsize=2048)
def described(docstring: str) -> Mapping[str, Described]:
    """The arguments that a docstring speaks of, by name (Google, NumPy, Sphinx and epydoc style)."""
    import docstring_parser  # only who asks for a meaning pays for it

    found: dict[str, Described] = {}
    try:
        # Without roles: the colon of `weights (:class:`X`): …` is taken for the one behind the argument.
        params = docstring_parser.parse(_without_roles(inspect.cleandoc(docstring))).params
    except docstring_parser.ParseError:
        return MappingProxyType(found)
    for param in params:
        text, written = param.description or "", (param.type_name or "").strip()
        # NumPy's style puts several names on one line.
        for name in param.arg_name.replace("*", "").split(","):
            found.setdefault(name.strip(), Described(plain(text), written))
        for name, item in _ITEM.findall(text) if "kwargs" in param.arg_name else ():
            found.setdefault(name, Described(plain(item)))
    return MappingProxyType(found)


# torchmetrics lists what it takes from **kwargs as `- **name**: text`.
_ITEM = re.compile(r"- \*\*(\w+)\*\*:?\s*(.+?)(?=\n\s*- \*\*|\Z)", re.DOTALL)


def summary(obj: Any) -> str:
    """The first sentence of what a class or function says of itself, or of its parents in the same package."""
    home = _package(obj)
    for one in obj.__mro__ if inspect.isclass(obj) else (obj,):
        docstring = vars(one).get("__doc__") if inspect.isclass(one) else one.__doc__
        text = plain(re.sub(r"^\.\. \w+::.*$", "", inspect.cleandoc(docstring or ""), flags=re.MULTILINE))
        if text and _package(one) == home and text not in _SAYS_NOTHING:
            return _sentences(text)[0]
    return ""


_SAYS_NOTHING = ("Wrapper for deprecated import.",)  # torchmetrics


def _package(obj: Any) -> str:
    return str(getattr(obj, "__module__", "")).partition(".")[0]


def plain(text: str) -> str:
    """The first paragraph of a text in reStructuredText, without markup and without what it says of the default.

    >>> plain("the :class:`~torch.Tensor` of ``lr`` (default: 1e-3)")
    'the Tensor of `lr`'
    """
    paragraphs = re.split(r"\n\s*\n|\n\s*(?=\.\. )|\n\s*(?=[-*] )", text.strip())
    line = " ".join(_without_roles(paragraphs[0]).split())
    line = re.sub(r"`([^`<]+?)\s*<[^`>]+>`__?", r"\1", line)
    line = re.sub(r"`([^`]+)`__?(?!\w)", r"\1", re.sub(r"``([^`]+)``", r"`\1`", line))
    line = _DEFAULT.sub("", line).strip(" ,;:")
    kept = ""
    for sentence in _sentences(line):
        if kept and len(kept) + len(sentence) > _LONGEST:
            break
        kept = f"{kept} {sentence}".strip()
    return kept if len(kept) <= 2 * _LONGEST else kept[: 2 * _LONGEST].rsplit(" ", 1)[0] + " …"


def _without_roles(text: str) -> str:
    text = re.sub(r":math:`([^`]*)`", lambda match: _symbols(match[1]), text)
    text = re.sub(r":[\w:+-]+:`~(?:[\w.]*\.)?([^`<]+)`", r"\1", text)
    return re.sub(r":[\w:+-]+:`([^`<]+?)(?:\s*<[^`>]+>)?`", r"\1", text)


# The default stands in the signature; what a docstring says of it may be older.
_DEFAULT = re.compile(
    r"\s*\(defaults?(?: to|:| is)?[^()]*(?:\([^()]*\))?[^()]*\)"
    r"|\s*\b(?:the )?default(?:s| value)?(?: is|s? to|:|=|,)?\s*[^\s,;]+\.?$",
    re.IGNORECASE,
)
_NAMES = "alpha beta gamma delta epsilon eta lambda mu rho sigma tau theta geq ge leq le times infty cdot in ldots"
_SYMBOLS = dict(zip(_NAMES.split(), "αβγδεηλμρστθ≥≥≤≤×∞·∈…", strict=True))  # noqa: RUF001


def _symbols(math: str) -> str:
    known = re.sub(r"\\([A-Za-z]+)\s*", lambda match: _SYMBOLS.get(match[1], match[0]), math)
    return re.sub(r"\\(?:text|mathrm|mathbf)\{([^}]*)\}", r"\1", known)


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[a-z0-9)`\"'][.])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z`])", text)
