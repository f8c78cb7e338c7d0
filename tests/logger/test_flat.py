from __future__ import annotations

from assay.logger.flat import flat


def test_every_leaf_has_a_name_and_a_plain_value() -> None:
    config = {"a": {"b": 1, "c": None, "d": [1, 2], "e": []}, "f": [{"g": True}, {"g": "x"}], "h": 0.5}
    assert dict(flat(config)) == {"a.b": 1, "a.d": "[1, 2]", "a.e": "[]", "f.0.g": True, "f.1.g": "x", "h": 0.5}
