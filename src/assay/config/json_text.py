"""JSON with the line and column of every key and value, and with every mistake that can be read past.

Python's own parser stops at the first mistake, keeps the last of equal keys, takes NaN and knows no places.
"""

from __future__ import annotations

import math
import re
from typing import Any

from assay.config.document import MAX_DEPTH, MAX_NODES, MAX_PROBLEMS, At, Document, dotted
from assay.errors import Place, Problem

__all__ = ["parse_json"]

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[-+.\w$%]+")
_QUOTED = re.compile(r'"[^"\\\n]*"')
_SHOWN = (_WORD, _QUOTED, re.compile(r"\\(?:u[0-9A-Fa-f]{0,4}|[^\s\"])?"))
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS = {"true": True, "false": False, "null": None}
_OTHER_WORDS = {"True": "true", "False": "false", "None": "null", "yes": "true", "no": "false"}
_OTHER_QUOTES = "\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb`"  # of word processors and of Markdown
_MAX_DIGITS = 400


class _Stop(Exception):
    """The text cannot be read any further; the reason is the document's last problem."""


def parse_json(text: str, file: str) -> Document:
    """The document of a JSON text; mistakes are its `problems`, and `data` is what could be read."""
    parser = _Parser(text, file)
    try:
        parser.whole()
    except _Stop:
        parser.document.is_whole = False
    return parser.document.with_excerpts(text)


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.position = text, file, 0
        self.document = Document()
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.line = 0

    def place(self, position: int) -> Place:
        # Positions are asked for nearly in order, so the search starts at the last line.
        starts = self.line_starts
        while self.line + 1 < len(starts) and starts[self.line + 1] <= position:
            self.line += 1
        while starts[self.line] > position:
            self.line -= 1
        return Place(self.file, self.line + 1, position - starts[self.line] + 1)

    def problem(self, message: str, position: int, expected: str = "", hint: str = "", at: At = ()) -> None:
        found = self.shown(position)
        problem = Problem(message, self.place(position), dotted(at), found, expected, hint)
        self.document.problems.append(problem)
        if len(self.document.problems) == MAX_PROBLEMS:
            raise self.stop("there are too many mistakes to read on", position)

    def stop(self, message: str, position: int, expected: str = "", hint: str = "") -> _Stop:
        self.problem(message, position, expected, hint)
        return _Stop()

    def shown(self, position: int) -> str:
        if position >= len(self.text):
            return "the end of the text"
        word = next((found for kind in _SHOWN if (found := kind.match(self.text, position))), None)
        shown = (word[0] if word else self.text[position])[:40]
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)

    def skip(self) -> str:
        """Go past space and comments; the character that follows, or an empty string at the end."""
        while True:
            space = _SPACE.match(self.text, self.position)
            self.position = space.end() if space else self.position
            comment = _COMMENT.match(self.text, self.position)
            if comment is None:
                return self.text[self.position : self.position + 1]
            hint = "remove it, or write the configuration as YAML"
            self.problem("JSON has no comments", self.position, hint=hint)
            self.position = comment.end()

    def whole(self) -> None:
        if not self.skip():
            raise self.stop("the configuration is empty", self.position, "an object { … }")
        self.document.data = self.value((), 0)
        if self.skip() and not isinstance(self.document.data, dict | list):
            raise self.stop("a configuration stands in { and }", self.position, "{ … } around the whole")
        if self.skip():
            raise self.stop("there is more after the end of the configuration", self.position, "nothing")

    def value(self, at: At, depth: int) -> Any:
        character = self.skip()
        start = self.position
        self.document.values[at] = self.place(start)
        if len(self.document.values) > MAX_NODES:
            raise self.stop("the configuration has too many values", start, f"at most {MAX_NODES:,}")
        if depth > MAX_DEPTH:
            raise self.stop("this is nested too deeply", start, f"at most {MAX_DEPTH} levels")
        if character == "{":
            return self.mapping(at, depth)
        if character == "[":
            return self.items(at, depth)
        if character and character in "\"'":
            known = len(self.document.problems) + (character == "'")
            made = self.string()
            if len(self.document.problems) == known:
                return made
            self.document.unread.add(at)  # what is left of it is not what was meant
            return None
        return self.scalar(at)

    def mapping(self, at: At, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        opened = self.position
        self.position += 1
        while not self.closed("}", opened, first=not made):
            start = self.position
            if self.text[start] in "\"'":
                key = self.string()
            else:
                word = _WORD.match(self.text, start)
                if self.text[start] in _OTHER_QUOTES:
                    raise self.stop("these quotes are not those of JSON", start, '"…"')
                if word is None:
                    raise self.stop("a key is missing here", start, 'a string "…" or }')
                self.problem("a key is not in quotes", start, f'"{word[0][:40]}"', at=at)
                key, self.position = word[0], word.end()
            if self.skip() == ":":
                self.position += 1
            elif self.text[self.position : self.position + 1] == "=":
                self.problem("a key and its value are parted by a colon", self.position, ":")
                self.position += 1
            else:
                raise self.stop(f"the key {key[:40]!r} has no value", self.position, ":")
            inside = (*at, key)
            if key in made:
                first = self.document.keys[inside]
                self.problem("this key stands here twice", start, "every key once", f"see {first}", inside)
            else:
                self.document.keys[inside] = self.place(start)
            made[key] = self.value(inside, depth + 1)
        return made

    def items(self, at: At, depth: int) -> list[Any]:
        made: list[Any] = []
        opened = self.position
        self.position += 1
        while not self.closed("]", opened, first=not made):
            made.append(self.value((*at, len(made)), depth + 1))
        return made

    def closed(self, closing: str, opened: int, first: bool) -> bool:
        """Go to the next member of a mapping or list; whether there is none."""
        character = self.skip()
        if character == ",":
            comma = self.position
            self.position += 1
            character = self.skip()
            if first or character == ",":
                raise self.stop("there is a comma too many", comma if first else self.position, "a value")
            if character == closing:
                self.problem("there is a comma after the last one", comma, closing, "remove the comma")
        elif character == ";" and not first:
            self.problem("a comma belongs here", self.position, ",")
            self.position += 1
            character = self.skip()
        elif character and not first and character != closing:
            if character in "]}:":
                raise self.stop("this does not belong here", self.position, f", or {closing}")
            self.problem("a comma is missing before this", self.position, ",")
        if not character:
            start = self.place(opened)
            raise self.stop(f"{self.text[opened]!r} of line {start.line} is never closed", self.position, closing)
        if character == closing:
            self.position += 1
            return True
        return False

    def string(self) -> str:
        start = self.position
        quote = self.text[start]
        if quote == "'":
            self.problem("strings stand in double quotes", start, '"…"')
        parts: list[str] = []
        self.position += 1
        while True:
            character = self.text[self.position : self.position + 1]
            if character == quote:
                self.position += 1
                break
            if character in ("", "\n"):
                self.position = start
                raise self.stop("this string is never closed", start, '" at its end')
            if character == "\\":
                parts.append(self.escape())
            elif character < " ":
                self.problem("a control character stands in a string", self.position, "\\t or \\u00XX")
                self.position += 1
            elif character == '"':
                parts.append(character)
                self.position += 1
            else:
                match = _PLAIN.match(self.text, self.position)
                end = match.end() if match else self.position + 1
                if quote == "'" and "'" in self.text[self.position : end]:
                    end = self.text.index("'", self.position)
                parts.append(self.text[self.position : end])
                self.position = end
        made = "".join(parts)
        if any("\ud800" <= character <= "\udfff" for character in made):
            # Two escapes make one character beyond the basic plane; one alone is no text.
            made = made.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if "\ufffd" in made:
                self.problem("half a character stands in a string", start, "both parts of \\uD8XX\\uDCXX")
        return made

    def escape(self) -> str:
        start = self.position
        letter = self.text[start + 1 : start + 2]
        if letter in _ESCAPES and letter:
            self.position += 2
            return _ESCAPES[letter]
        digits = self.text[start + 2 : start + 6]
        if letter == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", digits):
            self.position += 6
            if digits == "0000":
                self.problem("the zero character stands in a string", start, "text")
                return ""
            return chr(int(digits, 16))
        self.problem("this escape is unknown", start, '\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX', "write \\\\ for \\")
        self.position += 1
        return "\\"

    def scalar(self, at: At) -> Any:
        start = self.position
        match = _WORD.match(self.text, start)
        if match is None and self.text[start : start + 1] and self.text[start] in _OTHER_QUOTES:
            raise self.stop("these quotes are not those of JSON", start, '"…"')
        if match is None:
            raise self.stop("a value is missing here", start, "a value")
        word, self.position = match[0], match.end()
        if word in _LITERALS:
            return _LITERALS[word]
        number = _NUMBER.fullmatch(word)
        is_whole = number and not (number["fraction"] or number["exponent"])
        if number and len(word) <= _MAX_DIGITS and (is_whole or math.isfinite(float(word))):
            return int(word) if is_whole else float(word)
        hint = f"write {_OTHER_WORDS[word]}" if word in _OTHER_WORDS else ""
        if number and len(word) > _MAX_DIGITS:
            message, expected = "this number is too long", f"at most {_MAX_DIGITS} digits"
        elif number:
            message, expected = "this number is too large", "at most 1.8e308"
        elif word.lstrip("-+").lower() in ("nan", "inf", "infinity"):
            message, expected = "a configuration has only finite numbers", "a number"
        elif word[0] in "-+.0123456789":
            message, expected = "this is not a number of JSON", "a number such as 10, 0.5 or 1e-3"
        else:
            message = "this is not a value of JSON"
            expected = "a string in double quotes, a number, true, false or null"
        self.problem(message, start, expected, hint, at)
        self.document.unread.add(at)
        return None
