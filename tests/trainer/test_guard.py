from __future__ import annotations

import math

import pytest
import torch

from assay.trainer.guard import Flag


def made(in_one_pass: bool, fused: bool = False) -> Flag:
    weight = torch.nn.Parameter(torch.ones(3))
    flag = Flag(torch.optim.SGD([weight], lr=0.1, fused=fused), torch.device("cpu"))
    flag.in_one_pass = in_one_pass
    return flag


@pytest.mark.parametrize("in_one_pass", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_flag_stays_once_a_gradient_was_not_finite_and_counts_the_updates_since(
    in_one_pass: bool, bad: float
) -> None:
    flag = made(in_one_pass)
    whole = [torch.ones(3), torch.ones(2, dtype=torch.float64), torch.eye(2).to_sparse()]
    flag.look(whole)
    assert flag.read() == 0
    flag.look([*whole, torch.tensor([1.0, bad])])
    flag.look(whole)
    assert flag.read() == 2
    assert whole[0].tolist() == [1.0, 1.0, 1.0]


def test_a_fused_optimizer_leaves_the_weights_as_they_are_once_the_flag_is_raised() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    flag = Flag(optimizer, torch.device("cpu"))
    assert flag.freezes
    for gradient in (1.0, math.nan, 1.0):
        before = weight.detach().clone()
        weight.grad = torch.full((3,), gradient)
        flag.look([weight.grad])
        optimizer.step()
        assert torch.equal(weight, before) == bool(flag.read())
    assert flag.read() == 2
