from __future__ import annotations

import json
import random

import pytest

from assay.config.json_text import parse_json
from assay.errors import Place

TEXT = """{
  "name": "run",
  "data": {"split": [0.1, 2, -3e2, 1E-3, true, null]},
  "text": "\\u00e9 \\"x\\" \\ud83d\\ude00 \\\\ é"
}
"""


def mistakes(text: str) -> list[tuple[str, int, int]]:
    problems = parse_json(text, "a.json").problems
    return [
        (problem.message, problem.place.line, problem.place.column) for problem in problems if problem.place is not None
    ]


def test_good_json_is_read_as_pythons_own_parser_reads_it() -> None:
    document = parse_json(TEXT, "a.json")
    assert document.problems == []
    assert document.data == json.loads(TEXT)
    assert [type(value) for value in document.data["data"]["split"]] == [
        float,
        int,
        float,
        float,
        bool,
        type(None),
    ]


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse_json(TEXT, "a.json")
    assert document.values[()] == Place("a.json", 1, 1)
    assert document.keys["name",] == Place("a.json", 2, 3)
    assert document.values["name",] == Place("a.json", 2, 11)
    assert document.values["data", "split", 3] == Place("a.json", 3, 36)
    assert document.keys["data", "split"] == Place("a.json", 3, 12)


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ('{"a": 1,\n "a": 2}', "this key stands here twice", 2, 2),
        ('{"a": NaN}', "a configuration has only finite numbers", 1, 7),
        ('{"a": -Infinity}', "a configuration has only finite numbers", 1, 7),
        ('{"a": 1e999}', "this number is too large", 1, 7),
        ('{"a": 01}', "this is not a number of JSON", 1, 7),
        ('{"a": .5}', "this is not a number of JSON", 1, 7),
        ('{"a": +1}', "this is not a number of JSON", 1, 7),
        ('{"a": 1_000}', "this is not a number of JSON", 1, 7),
        ('{"a": ' + "9" * 5000 + "}", "this number is too long", 1, 7),
        ('{"a": True}', "this is not a value of JSON", 1, 7),
        ('{"a": 1,}', "there is a comma after the last one", 1, 8),
        ('{"a": [1, 2,]}', "there is a comma after the last one", 1, 12),
        ('{"a": [1,, 2]}', "there is a comma too many", 1, 10),
        ('{"a": [,]}', "there is a comma too many", 1, 8),
        ('{"a": [1 2]}', "a comma is missing before this", 1, 10),
        ('{"a": 1\n"b": 2}', "a comma is missing before this", 2, 1),
        ('{"a" 1}', "the key 'a' has no value", 1, 6),
        ('{"a" = 1}', "a key and its value are parted by a colon", 1, 6),
        ("{a: 1}", "a key is not in quotes", 1, 2),
        ("{'a': 1}", "strings stand in double quotes", 1, 2),
        ('// hello\n{"a": 1}', "JSON has no comments", 1, 1),
        ('{"a": 1} # hello', "JSON has no comments", 1, 10),
        ('{"a": /* hello */ 1}', "JSON has no comments", 1, 7),
        ('{"a": "x\n"}', "this string is never closed", 1, 7),
        ('{"a": "x\ty"}', "a control character stands in a string", 1, 9),
        ('{"a": "\\x"}', "this escape is unknown", 1, 8),
        ('{"a": "\\u12"}', "this escape is unknown", 1, 8),
        ('{"a": "\\ud800"}', "half a character stands in a string", 1, 7),
        ('{"a": "\\u0000"}', "the zero character stands in a string", 1, 8),
        ('{"a": {"b": [1}', "this does not belong here", 1, 15),
        ('{"a": {"b": 1}', "'{' of line 1 is never closed", 1, 15),
        ("", "the configuration is empty", 1, 1),
        ("  \n\n", "the configuration is empty", 3, 1),
        ('{"a": 1} {"b": 2}', "there is more after the end of the configuration", 1, 10),
        ('{"a":}', "a value is missing here", 1, 6),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "this is nested too deeply", 1, 57),
        ('{"é": "ü", "a": nan}', "a configuration has only finite numbers", 1, 17),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str, line: int, column: int) -> None:
    assert (message, line, column) in mistakes(text)


def test_mistakes_that_can_be_read_past_are_all_reported() -> None:
    text = '{\'a\': 1, # one\n "b": [1 2,],\n "b": NaN, c: True}'
    assert [message for message, *_ in mistakes(text)] == [
        "strings stand in double quotes",
        "JSON has no comments",
        "a comma is missing before this",
        "there is a comma after the last one",
        "this key stands here twice",
        "a configuration has only finite numbers",
        "a key is not in quotes",
        "this is not a value of JSON",
    ]


def test_words_of_python_have_a_hint() -> None:
    (problem,) = parse_json('{"a": None}', "a.json").problems
    assert problem.hint == "write null"


def test_a_mistake_of_syntax_shows_its_line_with_a_caret() -> None:
    (problem,) = parse_json('{"a": 1,\n\t"b" 2}', "a.json").problems
    assert problem.excerpt == ' "b" 2}\n     ^'


def test_a_key_that_stands_twice_names_both_places() -> None:
    (problem,) = parse_json('{"a": 1,\n"a": 2}', "a.json").problems
    assert (problem.found, problem.place, problem.hint) == ('"a"', Place("a.json", 2, 1), "see a.json:1:2")


def test_a_file_with_nothing_but_mistakes_is_given_up() -> None:
    document = parse_json('{"a": "' + "\x01" * 1000, "a.json")
    assert len(document.problems) == 201
    assert not document.is_whole


def test_too_many_values_are_refused_quickly() -> None:
    (problem,) = parse_json("[" + "1," * 300_000 + "1]", "a.json").problems
    assert problem.message == "the configuration has too many values"


def test_no_damaged_text_breaks_the_parser() -> None:
    generator = random.Random(0)
    characters = TEXT + "{}[]\",:'\\#/*\n\t\x00\x1fu0e+-.é😀\ud800"
    clean = 0
    for _ in range(3000):
        text = list(TEXT)
        for _ in range(generator.randint(1, 5)):
            at = generator.randrange(len(text))
            text[at : at + generator.randint(0, 2)] = generator.choice(characters)
        damaged = "".join(text)
        document = parse_json(damaged, "a.json")
        try:
            expected = json.loads(damaged)
        except ValueError:
            assert document.problems
        else:
            # What Python reads and we do not: equal keys and numbers that are not finite.
            if not document.problems:
                assert document.data == expected
                clean += 1
    assert clean > 50
