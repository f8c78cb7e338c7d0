from __future__ import annotations

import random

import pytest

from assay.config.yaml_text import parse_yaml
from assay.errors import Place

TEXT = """\
# a run
name: run
data:
  split: [0.1, 2, -3e2, 1e-3, .5, true, null, ~, 0x10]
  country: no
  "quoted": "1"
metrics:
  - Accuracy
  - type: TopKAccuracy
    args: {k: 3}
values: {0: 0.1, 8: 0.01}
empty:
long: |
  two
  lines
"""


def mistakes(text: str) -> list[tuple[str, int, int]]:
    problems = parse_yaml(text, "a.yaml").problems
    return [
        (problem.message, problem.place.line, problem.place.column) for problem in problems if problem.place is not None
    ]


def test_yaml_is_read_by_the_core_schema_of_1_2() -> None:
    document = parse_yaml(TEXT, "a.yaml")
    assert document.problems == []
    assert document.data == {
        "name": "run",
        "data": {"split": [0.1, 2, -300.0, 0.001, 0.5, True, None, None, 16], "country": "no", "quoted": "1"},
        "metrics": ["Accuracy", {"type": "TopKAccuracy", "args": {"k": 3}}],
        "values": {"0": 0.1, "8": 0.01},
        "empty": None,
        "long": "two\nlines\n",
    }


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse_yaml(TEXT, "a.yaml")
    assert document.keys["data", "country"] == Place("a.yaml", 5, 3)
    assert document.values["data", "country"] == Place("a.yaml", 5, 12)
    assert document.values["metrics", 1, "args", "k"] == Place("a.yaml", 10, 15)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1:30", "0o8", "1_000", "2024-01-01", "e3", "."])
def test_words_that_older_yaml_turned_into_other_things_are_strings(word: str) -> None:
    assert parse_yaml(f"a: {word}", "a.yaml").data == {"a": word}


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a: 1\na: 2", "this key stands here twice", 2, 1),
        ("a: !!python/object:os.system x", "a configuration has no tags", 1, 4),
        ("a: !include x", "a configuration has no tags", 1, 4),
        ("a: !!str 3", "a configuration has no tags", 1, 4),
        ("a: .nan", "a configuration has only finite numbers", 1, 4),
        ("a: -.inf", "a configuration has only finite numbers", 1, 4),
        ("a: 1e999", "this number is too large", 1, 4),
        ("a: " + "9" * 5000, "this number is too long", 1, 4),
        ("a: *b", "this alias has no anchor before it", 1, 4),
        ("a: &x {b: *x}", "this alias has no anchor before it", 1, 11),
        ("a: &x {b: 1}\n<<: *x", "YAML 1.2 has no merge keys", 2, 1),
        ("a: 1\n---\nb: 2", "there is a second document in this file", 2, 1),
        ("%YAML 1.1\n---\na: 1", "configurations are YAML 1.2", 1, 1),
        ("? [1]\n: 2", "a key is not a string", 1, 3),
        ("# nothing\n", "the configuration is empty", 2, 1),
        ("a: " + "[" * 60 + "]" * 60, "this is nested too deeply", 1, 54),
        ("a: b\x01", "a control character stands in the text", 1, 5),
        ('a: "\\0"', "the zero character stands in a string", 1, 4),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str, line: int, column: int) -> None:
    assert (message, line, column) in mistakes(text)


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a: [1, 2\nb: 3", "a comma is missing before this", 2, 2),
        ("a: {b: 1\n", "{ is never closed", 1, 4),
        ("a: {b: ${c}}", "a reference stands here without quotes", 1, 9),
        ("a: [1, ${c}]", "a reference stands here without quotes", 1, 9),
        ("a: [\n", "a bracket is never closed", 2, 1),
        ("a: [1,,2]", "a value is missing here", 1, 7),
        ("a: {b: c: d}", "a comma is missing before this", 1, 9),
        ("a: 1\n\tb: 2", "a tab stands where the indentation is", 2, 1),
        ("a: b: c", "there is a second colon in this line", 1, 5),
        ("a: 1\n b: 2", "this line is indented under a value, which has no keys", 2, 3),
        ("a\nb: 1", "the line above this one is no key with its value", 2, 2),
        ("a: 1\nb 2\n", "this key has no colon", 2, 1),
        ("a: 'x\nb: 1", "this string is never closed", 1, 4),
        ('a: "\\q"', "this escape is unknown", 1, 6),
        ("a: @x", "a value cannot begin with @", 1, 4),
        ("a: *", "no name stands after *", 1, 4),
        ("a: &", "no name stands after &", 1, 4),
        ("a: - b", "a list cannot begin here", 1, 4),
        ("a: |x\n  b", "this belongs on the next line, further in", 1, 5),
        ("a:\n  - 1\n - 2", "the indentation of this line fits to none above it", 3, 2),
        ('a: "x" y', "this does not belong here", 1, 8),
        ("%YAML 2.0\n---\na: 1", "a line that begins with % does not belong into a configuration", 1, 1),
        ("a: !<x", "a configuration has no tags", 1, 7),
        ("a: !" + "x" * 5000, "this is far too long for a tag", 1, 4),
    ],
)
def test_broken_yaml_is_named_in_plain_words(text: str, message: str, line: int, column: int) -> None:
    assert mistakes(text) == [(message, line, column)]


def test_a_mistake_of_syntax_shows_its_line_with_a_caret() -> None:
    (problem,) = parse_yaml("x: 1\na: b: c", "a.yaml").problems
    assert problem.excerpt == "a: b: c\n    ^"
    (problem,) = parse_yaml("a: " + "x" * 500 + ": y " + "z" * 500, "a.yaml").problems
    line, caret = problem.excerpt.split("\n")
    assert len(line) <= 80
    assert line[caret.index("^")] == ":"


def test_what_a_tag_stands_for_is_not_looked_at_as_well() -> None:
    document = parse_yaml("a: !!python/object/apply:os.system [x]", "a.yaml")
    assert document.unread == {("a",)}


def test_a_text_that_takes_long_to_read_is_not_read() -> None:
    (problem,) = parse_yaml("a: " + "x " * 200_000, "a.yaml").problems
    assert problem.message == "the configuration is too large for YAML"


def test_a_file_with_nothing_but_mistakes_is_given_up() -> None:
    assert len(parse_yaml("a: 1\n" * 1000, "a.yaml").problems) == 201


def test_an_alias_is_a_copy_that_stands_where_the_alias_is() -> None:
    document = parse_yaml("a: &x {b: [1]}\nc: *x", "a.yaml")
    assert document.data == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert document.data["a"]["b"] is not document.data["c"]["b"]
    assert document.values["c", "b", 0] == Place("a.yaml", 2, 4)


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert [message for message, *_ in mistakes("\n".join(lines))] == ["aliases make the configuration too large"]


def test_no_damaged_text_breaks_the_parser() -> None:
    generator = random.Random(0)
    characters = TEXT + "{}[]\",:'&*!|>%@`?-#\n\t\x00\x1f\x85\ufeff\u2028é😀"
    broken = 0
    for _ in range(300):
        text = list(TEXT)
        for _ in range(generator.randint(1, 5)):
            at = generator.randrange(len(text))
            text[at : at + generator.randint(0, 2)] = generator.choice(characters)
        broken += bool(parse_yaml("".join(text), "a.yaml").problems)
    assert 50 < broken < 300
