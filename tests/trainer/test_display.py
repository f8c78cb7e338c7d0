from __future__ import annotations

import io
import math

from rich.console import Console

from assay.trainer.display import Display, number
from assay.trainer.state import Progress


def shown(terminal: bool) -> str:
    stream = io.StringIO()
    display = Display(Console(file=stream, force_terminal=terminal, width=200), updates=4)
    display.start(Progress())
    for step in range(1, 5):
        display.step(Progress(step=step, samples=step * 10))
    display.measured(0, 4, {"train/loss": 0.123456, "validation/loss": math.nan}, 1.25, improved=True)
    display.close()
    return stream.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    assert (
        shown(terminal=False) == "epoch   0  step      4  train: loss 0.1235 | validation: loss NaN  (1.2 s)  *best\n"
    )


def test_on_a_terminal_there_is_a_bar_with_a_rate_and_the_time_left() -> None:
    text = shown(terminal=True)
    assert "updates" in text
    assert "samples/s" in text
    assert "train: loss 0.1235" in text


def test_numbers_have_four_significant_digits() -> None:
    assert [number(value) for value in (0.00012345, 12345.6, 1.0, math.inf, math.nan)] == [
        "0.0001234",
        "1.235e+04",
        "1",
        "inf",
        "NaN",
    ]
