from __future__ import annotations

import pytest
import torch
from torch.optim import Adam, Optimizer

from assay.schedulers import groups

from .lines import sgd, values


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (sgd(0.1, 1.0), [1.0, 10.0]),
        (sgd(0.2, own=0.1), [2.0]),
        (sgd(0.2, 0.4, own=0.0), [1.0, 2.0]),
        (sgd(0.0, 0.0, own=0.0), [1.0, 1.0]),
    ],
    ids=["to the optimizer's", "one group", "to the first group's", "nothing to compare with"],
)
def test_ratios_are_those_to_the_optimizers_own_rate(optimizer: Optimizer, expected: list[float]) -> None:
    assert groups.ratios(optimizer) == expected


def test_whatever_happens_inside_untouched_is_undone_also_after_an_error() -> None:
    rate = torch.tensor(0.1)
    optimizer = Adam([torch.nn.Parameter(torch.ones(2))], lr=rate)
    before = values(optimizer)

    def change_and_fail() -> None:
        with groups.untouched(optimizer):
            optimizer.param_groups[0]["lr"].fill_(5.0)
            optimizer.param_groups[0].update(betas=(0.1, 0.2), initial_lr=3.0, weight_decay=7.0)
            raise KeyError

    with pytest.raises(KeyError):
        change_and_fail()
    assert values(optimizer) == before
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.1)


def test_restoring_takes_away_what_was_not_there() -> None:
    optimizer = sgd()
    saved = groups.scheduled(optimizer)
    optimizer.param_groups[0].update(lr=0.7, initial_lr=0.7, max_momentum=0.5)
    groups.restore(optimizer, saved)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not {"initial_lr", "max_momentum"} & optimizer.param_groups[0].keys()


def test_a_number_stays_a_number_when_the_state_has_a_tensor() -> None:
    optimizer = sgd()
    groups.restore(optimizer, [{"lr": torch.tensor(0.5)}])
    assert type(optimizer.param_groups[0]["lr"]) is float
