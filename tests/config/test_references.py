from __future__ import annotations

import pytest

from assay.config.references import File, Key, Malformed, Variable, parts_of, written


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain $x {y} }", ["plain $x {y} }"]),
        ("${a.b.0}", [Key(("a", "b", "0"))]),
        ('${a."b.c".d}', [Key(("a", "b.c", "d"))]),
        ("${env:HOME}/data", [Variable("HOME"), "/data"]),
        ("${env:ROOT:http://x:1}", [Variable("ROOT", "http://x:1")]),
        ("${env:ROOT:}", [Variable("ROOT", "")]),
        ("${file:/run/secrets/a b:1}", [File("/run/secrets/a b:1")]),
        ("${a}${b}", [Key(("a",)), Key(("b",))]),
        ("cost $${a}", ["cost ${a}"]),
        ("$$${a}", ["$", Key(("a",))]),
        ("$$$${a}", ["$${a}"]),
        ("$$ and $", ["$$ and $"]),
    ],
)
def test_a_text_is_plain_pieces_and_references(text: str, parts: list[object]) -> None:
    assert parts_of(text) == parts
    assert written(parts_of(text)) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("${a", "never closed"),
        ("x ${", "never closed"),
        ("${}", "not a reference"),
        ("${a b}", "not a reference"),
        ("${a..b}", "not a reference"),
        ("${.a}", "not a reference"),
        ("${oc.env:HOME}", "not a reference"),
        ("${env:}", "name of an environment variable"),
        ("${env:1A}", "name of an environment variable"),
        ("${env:A:${b}}", "inside another one"),
        ("${file:}", "names no file"),
        ("${file: }", "names no file"),
        ("${file:a\nb}", "names no file"),
    ],
)
def test_what_is_no_reference_is_malformed(text: str, word: str) -> None:
    with pytest.raises(Malformed, match=word):
        parts_of(text)


def test_the_writing_of_other_tools_has_a_hint() -> None:
    with pytest.raises(Malformed) as caught:
        parts_of("${oc.env:DATA}")
    assert "${env:DATA}" in caught.value.hint
