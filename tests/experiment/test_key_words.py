from __future__ import annotations

from typing import Any

import pytest

from assay.config.document import At
from assay.config.schema import Config
from assay.experiment.key_words import in_words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (("seed",), "a whole number of at least 0"),
        (("folder",), "text"),
        (("allow_test_selection",), "true or false"),
        (("name",), "1 to 80 letters, digits, `.`, `-` and `_`, the first no `.` or `-`"),
        (("host", "precision"), "`float64`, `float32`, `bfloat16`, `float16`"),
        (("host", "threads"), "a whole number from 1 to 4096 or null"),
        (("testing", "every"), 'a length such as `"1ep"` (epochs) or `"500ba"` (updates) or null'),
        (("logging", "system"), 'a length such as `"5s"` (seconds) or null'),
    ],
)
def test_what_a_key_takes_is_said_in_words(at: At, words: str) -> None:
    section: Any = Config
    for part in at[:-1]:
        section = section.model_fields[part].annotation
    assert in_words(at, section.model_json_schema()["properties"][at[-1]]) == words
