from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.errors import Problem
from assay.utils.secrets import conceal, concealed, concealed_in, forget, remember


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    remember("TOKEN", "a'b\\c/d é and more than that")
    remember("SEED", "7")
    yield
    forget()


@pytest.mark.parametrize(
    "text",
    [
        "a'b\\c/d é and more than that",
        repr("a'b\\c/d é and more than that")[1:-1],
        "a'b\\\\c/d \\u00e9 and more than that",
        "a%27b%5Cc%2Fd%20%C3%A9%20and%20more%20than%20that",
        "a'b\\c/d é an",
    ],
)
def test_a_value_is_hidden_however_it_is_written_and_wherever_it_is_cut(text: str) -> None:
    assert conceal(f"<{text}> <{text}>") == "<${env:TOKEN}> <${env:TOKEN}>"


def test_a_short_value_is_hidden_only_where_it_is_asked_for_as_a_word() -> None:
    assert conceal("epoch 7 of 17") == "epoch 7 of 17"
    assert conceal("epoch 7 of 17", ["SEED"]) == "epoch ${env:SEED} of 17"


def test_a_value_inside_another_one_does_not_uncover_it() -> None:
    remember("PART", "more than")
    assert conceal("a'b\\c/d é and more than that") == "${env:TOKEN}"


def test_what_is_expected_of_a_value_is_left_as_it_is() -> None:
    remember("DEVICE", "cuda")
    problem = concealed(Problem("no cuda", found="cuda", expected="auto, cpu, cuda", hint="not cuda"))
    shown = Problem("no ${env:DEVICE}", found="${env:DEVICE}", expected="auto, cpu, cuda", hint="not ${env:DEVICE}")
    assert problem == shown


def test_texts_inside_objects_and_lists_are_concealed() -> None:
    remember("DEVICE", "cuda")
    assert concealed_in({"a": ["cuda:0", 7, ("x", None)]}) == {"a": ["${env:DEVICE}:0", 7, ["x", None]]}
