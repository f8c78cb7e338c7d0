from __future__ import annotations

import pytest

from assay.config.durations import Duration


@pytest.mark.parametrize("text", ["1ep", "500ba", "5s", "999999999ba"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert str(Duration.of(text)) == text


@pytest.mark.parametrize(
    "text", ["", "5", "ep", "0ep", "-1ep", "1.5ep", "1 ep", "1epochs", "5m", "1ep ", "٣ep", "9999999999s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a positive whole number with a unit"):
        Duration.of(text)


def test_leading_zeros_do_not_make_another_duration() -> None:
    assert Duration.of("010ep") == Duration(10, "ep")
