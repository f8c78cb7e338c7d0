"""What the YAML library says of a broken text, in words for who has written it and has not read the YAML standard."""

from __future__ import annotations

import re
from collections.abc import Callable

from ruamel.yaml.error import MarkedYAMLError

from assay.errors import Place, Problem

__all__ = ["in_plain_words"]

_QUOTES = "put it in quotes if it is a text"
_INDENT = "give it the indentation of the keys that it belongs to"


def in_plain_words(error: MarkedYAMLError, text: str, file: str) -> Problem:
    """One sentence about the mistake, at the place where it can be mended."""
    said, around = str(error.problem or ""), str(error.context or "")
    mark = error.problem_mark or error.context_mark
    start = error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    before = lines[line][:column] if line < len(lines) else ""
    token = match[1] if (match := re.search(r"(?:found|got) (?:character )?\(?'(.*?)'", said)) else ""
    is_first = not before.strip()

    def at(message: str, expected: str = "", hint: str = "", *, opened: bool = False) -> Problem:
        where = start if opened and start else mark
        place = Place(file, where.line + 1, where.column + 1) if where else Place(file)
        return Problem(message, place, "", "", expected, hint)

    if "quoted scalar" in around and ("end of stream" in said or "document separator" in said):
        return at("this string is never closed", "a quote at its end", opened=True)
    if "while parsing a flow" in around and token == "{" and before.endswith("$"):
        return at("a reference stands here without quotes", '"${…}" inside of { } and [ ]')
    if "while parsing a flow" in around:
        return _in_brackets(at, token, around, lines[start.line][start.column :][:1] if start else "[")
    if "cannot start any token" in said and "\\t" in said:
        return at("a tab stands where the indentation is", "spaces")
    if "cannot start any token" in said:
        return at(f"a value cannot begin with {token}", "", _QUOTES)
    if "mapping values are not allowed" in said and ":" in before:
        return at("there is a second colon in this line", "one key and its value", "put the value in quotes")
    above = next((other for other in reversed(lines[:line]) if other.strip()), "")
    if "mapping values are not allowed" in said and _indent(before) <= _indent(above):
        return at("the line above this one is no key with its value", 'a line such as "key: value"')
    if "mapping values are not allowed" in said:
        return at("this line is indented under a value, which has no keys", "", _INDENT)
    if "sequence entries are not allowed" in said:
        return at("a list cannot begin here", "each item on a line of its own", _QUOTES)
    if "expected ':'" in said:
        return at("this key has no colon", 'a colon and a space, as in "key: value"', opened=True)
    if "escape" in said:
        return at("this escape is unknown", "", "write \\\\ for \\, or use single quotes")
    if "alphabetic or numeric" in said:
        sign = "&" if "anchor" in around else "*"
        return at(f"no name stands after {sign}", "", _QUOTES, opened=True)
    if "block scalar" in around:
        return at("this belongs on the next line, further in", "| or >, and nothing after it")
    if "directive" in around or "directive" in said or "<document start>" in said or "YAML document" in said:
        return at("a line that begins with % does not belong into a configuration", "", "remove it")
    if "tag" in around or "tag" in said or "URI" in said:
        return at("a configuration has no tags", "a plain value", "remove the tag")
    if "expected <block end>" in said and is_first:
        return at("the indentation of this line fits to none above it", "", _INDENT)
    if "expected <block end>" in said:
        return at("this does not belong here", "the end of the line", "put the whole value in quotes")
    return at("this is not YAML", "", _QUOTES)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _in_brackets(at: Callable[..., Problem], token: str, around: str, opening: str) -> Problem:
    closing = "}" if opening == "{" else "]"
    if token == "<stream end>" and opening not in ("[", "{"):
        return at("a bracket is never closed", "] or }")
    if token == "<stream end>":
        return at(f"{opening} is never closed", closing, opened=True)
    if "node" in around:
        return at("a value is missing here", "a value")
    return at("a comma is missing before this", f", or {closing}", "put a text with a colon in it in quotes")
