from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import assay
from assay.errors import NonFiniteError
from assay.trainer.finite import not_finite


def snapshot(**changes: float) -> dict[str, Any]:
    """As a trainer gives it, with one number of some tensors replaced."""
    tensors = {
        "model": {"fc.weight": torch.ones(3, 2), "bn.running_var": torch.ones(2), "bn.count": torch.tensor(3)},
        "ema": {"fc.weight": torch.ones(3, 2)},
        "training": {
            "optimizer": {"state": {"fc.weight": {"exp_avg": torch.ones(3, 2), "step": torch.tensor(1.0)}}},
            "loss": {"weight": torch.ones(2)},
            "own": {"critic": {"w": torch.ones(1)}},
            "metrics": {"train": {"loss": torch.tensor(math.inf)}},
            "schedulers": {"best": math.inf},
            "generator": torch.zeros(4, dtype=torch.uint8),
        },
    }
    for name, value in changes.items():
        held: Any = tensors
        *path, last = name.split("__")
        for key in path:
            held = held[key.replace("_dot_", ".")]
        held[last.replace("_dot_", ".")].view(-1)[-1] = value
    return tensors


def test_what_is_finite_is_published_whatever_sums_and_schedulers_hold() -> None:
    assert not_finite(snapshot()) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("model__fc_dot_weight", "model.fc.weight"),
        ("model__bn_dot_running_var", "model.bn.running_var"),
        ("ema__fc_dot_weight", "ema.fc.weight"),
        ("training__optimizer__state__fc_dot_weight__exp_avg", "optimizer.state.fc.weight.exp_avg"),
        ("training__loss__weight", "loss.weight"),
        ("training__own__critic__w", "own.critic.w"),
    ],
)
def test_one_number_that_is_not_finite_is_found_wherever_weights_come_from(place: str, name: str, value: float) -> None:
    assert not_finite(snapshot(**{place: value})) == [name]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn])
def test_large_numbers_whose_sum_overflows_are_finite(dtype: torch.dtype) -> None:
    most = torch.tensor([torch.finfo(dtype).max], dtype=torch.float64).to(dtype).repeat(1000)
    assert not_finite({"model": {"w": most}}) == []


def test_numbers_that_cancel_out_are_found() -> None:
    assert not_finite({"model": {"w": torch.tensor([math.inf, -math.inf])}}) == ["model.w"]


def test_empty_and_sparse_tensors_have_their_turn() -> None:
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 3]]), torch.tensor([1.0, math.nan]), (9,), check_invariants=True)
    assert not_finite({"model": {"none": torch.zeros(0), "sparse": sparse}}) == ["model.sparse"]


class Masked(nn.Module):
    """Its mask is infinite by intention; its counter is not."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.head = nn.Linear(math.prod(input_shape), num_classes)
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
        self.register_buffer("mean", torch.zeros(1))
        self.spoils = False

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if self.training and self.spoils:
            self.mean.fill_(math.nan)
        output: torch.Tensor = self.head(batch.flatten(1))
        return output


class Spoiling(Masked):
    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__(num_classes, input_shape)
        self.spoils = True


def test_a_mask_of_infinities_is_saved_and_a_buffer_that_became_nan_is_not(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    changes = {"trainer.args.epochs": 1, "logging": {"system": None}}
    run = assay.train(tiny(changes), model=Masked, preflight=False, quiet=True)
    assert run.status["state"] == "completed"
    with pytest.raises(
        NonFiniteError, match=r"model\.mean is not finite at step 11; no checkpoint was written"
    ) as caught:
        assay.train(tiny(changes), model=Spoiling, preflight=False, quiet=True)
    assert caught.value.exit_code == 5
    assert not list(assay.open("last").folder.checkpoints.glob("step-*"))
