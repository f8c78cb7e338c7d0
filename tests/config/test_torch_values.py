from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from assay.config.misfit import Misfit
from assay.config.torch_values import dtype, tensor

TENSORS: list[Any] = [1, 1.5, [1, 2], [[1, 2], [3, 4]], [], [[]], [[1], [2, 3]], [1, [2]], [[[1]], [2]], "1", ["a"], {}]
TENSORS += [None, True, [True]]


def taken(read: Any, value: Any) -> bool:
    try:
        read(value)
    except Misfit:
        return False
    return True


def test_numbers_become_a_tensor_of_torchs_default_type() -> None:
    assert tensor([1, 2]).equal(torch.tensor([1.0, 2.0]))
    assert tensor(made := torch.ones(2)) is made


def test_every_dtype_of_torch_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)]
    wrong = ("Tensor", "float31", "", 3, None, "nn.functional")
    for name in names:
        assert dtype(name) is dtype(f"torch.{name}") is getattr(torch, name)
    assert dtype(torch.int8) is torch.int8
    assert not any(taken(dtype, name) for name in wrong)
    monkeypatch.delitem(sys.modules, "torch")
    assert [name for name in names if not taken(dtype, f"torch.{name}")] == []
    assert not any(taken(dtype, name) for name in wrong)


@pytest.mark.parametrize("value", TENSORS, ids=repr)
def test_the_same_values_are_taken_where_torch_is_not_imported(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_torch = taken(tensor, value)
    assert with_torch == (value in (1, 1.5, [1, 2], [[1, 2], [3, 4]], [], [[]]) and value is not True)
    monkeypatch.delitem(sys.modules, "torch")
    assert taken(tensor, value) == with_torch
