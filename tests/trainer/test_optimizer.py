from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.schema import Group
from assay.errors import CheckpointError, ConfigError
from assay.trainer.optimizer import build_optimizer, load_named_state, named_state, require_plain_step


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def built(model: nn.Module, *groups: dict[str, object], name: type = torch.optim.AdamW) -> torch.optim.Optimizer:
    bound = Bound(name.__name__, name, {"lr": 0.1, "weight_decay": 0.01})
    return build_optimizer(bound, model, [Group.model_validate(group) for group in groups])


def test_the_first_group_whose_expression_matches_a_whole_name_holds_a_parameter() -> None:
    model = net()
    optimizer = built(model, {"match": r"2\..*", "lr": 1.0}, {"match": ".*bias", "weight_decay": 0.0})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
    assert groups == [["0.weight", "1.weight"], ["2.weight", "2.bias"], ["0.bias", "1.bias"]]
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        (0.1, 0.01),
        (1.0, 0.01),
        (0.1, 0.0),
    ]


def test_a_group_that_matches_nothing_is_an_error_that_names_some_parameters() -> None:
    with pytest.raises(ConfigError, match="no parameter is named like 'head'") as caught:
        built(net(), {"match": "head"})
    assert "0.weight" in str(caught.value)


def test_frozen_parameters_are_left_out_and_a_model_without_any_is_an_error() -> None:
    model = net().requires_grad_(False)
    model[2].bias.requires_grad_(True)
    assert [len(group["params"]) for group in built(model).param_groups] == [1]
    with pytest.raises(ConfigError, match="no parameter to train"):
        built(net().requires_grad_(False))


def test_the_state_goes_by_names_and_comes_back() -> None:
    torch.manual_seed(0)
    one, two = net(), net()
    two.load_state_dict(one.state_dict())
    optimizer, other = built(one, {"match": ".*bias"}), built(two, {"match": ".*bias"})
    x = torch.randn(8, 3)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    step(one, optimizer)
    two.load_state_dict(one.state_dict())
    state = copy.deepcopy(named_state(optimizer, one))
    assert set(state["state"]) == {name for name, _ in one.named_parameters()}
    load_named_state(other, two, state)
    step(one, optimizer), step(two, other)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name


def test_the_state_of_other_parameters_is_refused() -> None:
    one = net()
    state = named_state(built(one), one)
    model = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(CheckpointError, match="other parameters"):
        load_named_state(built(model), model, state)


def test_an_optimizer_that_needs_a_closure_is_refused_with_what_to_do() -> None:
    model = net()
    with pytest.raises(ConfigError, match=r"LBFGS cannot make a step without closure[^$]*`update`"):
        require_plain_step(torch.optim.LBFGS(model.parameters()))


def test_one_whose_method_a_scheduler_has_wrapped_is_not() -> None:
    optimizer = torch.optim.AdamW(net().parameters())
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    require_plain_step(optimizer)
