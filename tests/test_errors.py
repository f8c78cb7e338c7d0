from __future__ import annotations

import pickle

from assay.errors import ConfigError, Place, Problem


def test_mistakes_are_sorted_by_file_line_and_column_then_settings_then_what_has_no_place() -> None:
    places = [Place("a.json", 9, 1), Place("a.json", 10, 1), Place("b.json", 1, 1), Place("--set a=1"), None]
    error = ConfigError([Problem("x", place) for place in reversed(places)])
    assert [problem.place for problem in error.problems] == places


def test_an_excerpt_stands_below_the_place() -> None:
    problem = Problem("a comma is missing", Place("a.json", 2, 3), hint="write one", excerpt="b c\n  ^")
    assert str(problem).splitlines() == [
        "a comma is missing",
        "  where:    a.json:2:3",
        "            b c",
        "              ^",
        "  try:      write one",
    ]


def test_a_configuration_error_goes_from_process_to_process() -> None:
    error = pickle.loads(pickle.dumps(ConfigError([Problem("x")], "head", most=3)))
    assert (str(error), error.head, error.most) == ("head\nx", "head", 3)
