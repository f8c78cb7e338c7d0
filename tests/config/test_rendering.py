from __future__ import annotations

from assay.config.rendering import render
from assay.errors import Place, Problem

PROBLEMS = [Problem(f"mistake {n}", Place("a.json", n + 1, 2), f"key{n}", "x", "y", "z") for n in range(30)]


def test_few_problems_are_counted_and_shown_in_full() -> None:
    assert render(PROBLEMS[:5]) == "\n".join(["5 mistakes", *map(str, PROBLEMS[:5])])


def test_more_problems_take_one_line_each_and_the_rest_is_counted() -> None:
    lines = render(PROBLEMS).splitlines()
    assert len(lines) == 1 + 5 * 5 + 15 + 1
    assert lines[0] == "30 mistakes"
    assert lines[26] == "a.json:6:2 (key5): mistake 5; z"
    assert lines[-1] == "10 more (--all)"


def test_one_line_says_what_is_expected_where_there_is_nothing_to_try() -> None:
    lines = render([Problem("a", expected="b " * 100), Problem("c", hint="d", expected="e")], full=0).splitlines()
    assert lines[1].startswith("a; expected b b")
    assert len(lines[1]) <= 104
    assert lines[2] == "c; d"


def test_all_of_them_are_shown_in_full_where_that_is_asked() -> None:
    assert render(PROBLEMS, most=None) == "\n".join(["30 mistakes", *map(str, PROBLEMS)])


def test_one_problem_is_not_counted() -> None:
    assert render(PROBLEMS[:1]) == str(PROBLEMS[0])


def test_what_is_said_of_all_comes_first() -> None:
    assert render(PROBLEMS[:2], "an older file").startswith("an older file: 2 mistakes\nmistake 0\n")
    assert render(PROBLEMS[:1], "an older file").startswith("an older file\nmistake 0\n")


def test_a_problem_without_place_and_hint_is_its_message() -> None:
    assert render([Problem("one"), Problem("two")], full=1) == "2 mistakes\none\ntwo"
