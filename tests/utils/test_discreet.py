from __future__ import annotations

import io

from assay.utils import secrets
from assay.utils.discreet import DiscreetStream


def test_lines_are_written_without_secrets_whole_and_in_their_order() -> None:
    secrets.remember("TOKEN", "correct-horse")
    below = io.StringIO()
    stream = DiscreetStream(below)
    print("one correct", end="-", file=stream)
    assert below.getvalue() == ""
    print("horse\ntwo", file=stream)
    print("thr", end="", file=stream)
    stream.flush()
    print("ee", file=stream)
    secrets.forget()
    assert below.getvalue() == "one ${env:TOKEN}\ntwo\nthree\n"
    assert stream.isatty() is False
