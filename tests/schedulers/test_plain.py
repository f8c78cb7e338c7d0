from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.schedulers.plain import NotPlain, plain_state

from .lines import sgd, through_a_file


def test_plain_values_come_back_from_a_file_as_they_were() -> None:
    state: dict[str, Any] = {
        "numbers": [1, 2.5, True, None, 1j],
        "pair": (0.9, 0.99),
        "names": {"a", "b"},
        "nested": {"x": {1: [Counter({2: 3})]}},
    }
    back = through_a_file(plain_state(state))
    assert back == state
    assert type(back["nested"]["x"][1][0]) is Counter


def test_numbers_of_numpy_become_numbers() -> None:
    state = plain_state({"a": np.float64(0.5), "b": [np.int64(3)]})
    assert [type(state["a"]), type(state["b"][0])] == [float, int]


def test_functions_and_the_optimizer_are_left_out() -> None:
    assert plain_state({"f": len, "fs": [abs, 1], "opt": sgd(), "kept": 1}) == {"kept": 1}


def test_the_attributes_of_callables_are_kept_without_their_functions() -> None:
    state = {"lr_lambdas": [None, {"scale": 2.0, "inner": len}], "_scale_fn_custom": {"k": 1, "f": len}}
    assert plain_state(state) == {"lr_lambdas": [None, {"scale": 2.0}], "_scale_fn_custom": {"k": 1}}


def test_the_copy_shares_nothing_with_the_original() -> None:
    state: dict[str, Any] = {"list": [[1]], "tensor": torch.zeros(1)}
    copy = plain_state(state)
    state["list"][0].append(2)
    state["tensor"].fill_(1.0)
    assert copy["list"] == [[1]]
    assert copy["tensor"].item() == 0.0


@pytest.mark.parametrize("value", [deque([1]), Path("x"), np.zeros(2), object()], ids=lambda v: type(v).__name__)
def test_anything_else_is_named(value: object) -> None:
    with pytest.raises(NotPlain, match=r"outer\.inner, a .*" + type(value).__name__):
        plain_state({"outer": {"inner": value}})
