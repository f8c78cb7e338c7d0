from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from assay.config.written_types import written_type


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("int", int),
        ("float, optional", float),
        ("bool, default=True", bool),
        ("``str``", str),
        ("integer or None", int | None),
        ("Optional[float]", float | None),
        ("Union[int, str]", int | str),
        ("int | str", int | str),
        ("number", int | float),
        ("int or tuple", int | tuple[Any, ...]),
        ("list of float", Sequence[float]),
        ("sequence or int", Sequence[Any] | int),
        ("tuple[int, float]", tuple[int, float]),
        ("Tuple[int, ...]", tuple[int, ...]),
        ("list[str], optional", Sequence[str]),
        ("{'a', 'b'}", Literal["a", "b"]),
        ('"mean" or "sum"', Literal["mean"] | Literal["sum"]),
        ("dict", dict[str, Any]),
    ],
)
def test_a_written_type_is_read(text: str, annotation: Any) -> None:
    assert written_type(text) == annotation


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "optional",
        "callable",
        "Tensor",
        "float, Tensor",
        "int or callable",
        "(int",
        "{'a', b}",
        "{}",
        "a number between 0 and 1",
    ],
)
def test_what_is_not_surely_read_says_nothing(text: str) -> None:
    assert written_type(text) is Any
