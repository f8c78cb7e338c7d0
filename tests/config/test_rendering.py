from __future__ import annotations

from assay.config.rendering import render
from assay.errors import Place, Problem

PROBLEMS = [Problem(f"mistake {n}", Place("a.json", n + 1, 2), f"key{n}", "x", "y", "z") for n in range(30)]


def test_few_problems_are_shown_in_full() -> None:
    assert render(PROBLEMS[:5]) == "\n".join(str(problem) for problem in PROBLEMS[:5])


def test_more_problems_take_one_line_each_and_the_rest_is_counted() -> None:
    lines = render(PROBLEMS).splitlines()
    assert len(lines) == 5 * 5 + 15 + 1
    assert lines[25] == "a.json:6:2 (key5): mistake 5; z"
    assert lines[-1] == "10 more"


def test_a_problem_without_place_and_hint_is_its_message() -> None:
    assert render([Problem("one"), Problem("two")], full=1) == "one\ntwo"
