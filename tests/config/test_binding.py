from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
import torch
import torchmetrics
import torchvision
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from assay.config.binding import Bound, bind
from assay.config.components import Kind
from assay.errors import ConfigError, DataError, Place

OPTIMIZER = Kind("optimizer", ("torch.optim:Optimizer",), {}, runtime=frozenset({"params"}))
ANY = Kind("thing", ("torch.nn:Module",), {}, runtime=frozenset({"num_classes"}))


class Net:
    def __init__(self, num_classes: int, width: int = 8, *, name: str | None = None) -> None:
        if width < 0:
            raise ValueError("width is negative")
        self.num_classes, self.width, self.name = num_classes, width, name


def problems(kind: Kind, obj: Any, **args: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(path, problem.message) for path, problem in bind(kind, "It", obj, args)[1]]


def test_good_arguments_have_no_problems() -> None:
    assert problems(OPTIMIZER, SGD, lr=0.1, momentum=0.9, nesterov=True, foreach=None) == []
    assert problems(OPTIMIZER, AdamW, betas=[0.9, 0.99]) == []
    assert problems(ANY, nn.CrossEntropyLoss, weight=[1.0, 2.0], label_smoothing=0) == []


def test_an_unknown_argument_names_the_nearest_and_what_is_allowed() -> None:
    ((path, problem),) = bind(OPTIMIZER, "SGD", SGD, {"momentun": 0.9})[1]
    assert path == ("momentun",)
    assert problem.message == "'SGD' has no argument 'momentun'"
    assert problem.hint == "did you mean 'momentum'?"
    assert "weight_decay" in problem.expected
    assert "params" not in problem.expected  # assay gives it


def test_all_wrong_arguments_are_reported_at_once() -> None:
    found = problems(OPTIMIZER, SGD, lr="0.1", nesterov=1, momntum=3)
    assert [path for path, _ in found] == [("lr",), ("nesterov",), ("momntum",)]


def test_a_missing_argument_is_a_problem_unless_assay_gives_it() -> None:
    assert problems(ANY, nn.Linear, in_features=3) == [((), "'It' needs the argument 'out_features'")]
    assert problems(ANY, Net) == []
    assert problems(OPTIMIZER, Net) == [((), "'It' needs the argument 'num_classes'")]


def test_what_stands_under_a_mistyped_name_is_not_missing_as_well() -> None:
    assert [path for path, _ in problems(ANY, nn.Linear, in_features=3, out_featurs=4)] == [("out_featurs",)]


def test_problems_inside_an_argument_have_their_path() -> None:
    assert [path for path, _ in problems(OPTIMIZER, AdamW, betas=[0.9, "x"])] == [("betas", 1)]


def test_an_abstract_class_is_a_problem() -> None:
    class Abstract(ABC):
        @abstractmethod
        def value(self) -> float: ...

    assert problems(ANY, Abstract) == [((), "'It' is abstract")]


def test_accepts_knows_arguments_behind_kwargs_and_invents_none() -> None:
    def bare(**kwargs: Any): ...

    assert Bound("r", torchvision.models.resnet50, {}).accepts("num_classes")
    assert Bound("a", torchmetrics.Accuracy, {}).accepts("task")
    assert not Bound("b", bare, {}).accepts("num_classes")
    assert problems(ANY, bare, anything=3) == []


def test_build_gives_arguments_and_what_of_runtime_is_accepted() -> None:
    net = Bound("Net", Net, {"width": 3}).build(num_classes=10, in_channels=3)
    assert (net.num_classes, net.width) == (10, 3)


def test_what_the_configuration_says_goes_before_runtime() -> None:
    assert Bound("Net", Net, {"num_classes": 5}).build(num_classes=10).num_classes == 5


def test_build_takes_positional_arguments_first() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer: Optimizer = Bound("AdamW", AdamW, {"betas": [0.5, 0.6], "lr": 1}).build([parameter])
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.6)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_build_makes_tensors_of_lists_of_numbers() -> None:
    loss = Bound("loss", nn.CrossEntropyLoss, {"weight": [1, 2]}).build()
    assert torch.equal(loss.weight, torch.tensor([1.0, 2.0]))
    assert not Bound("loss", nn.BCEWithLogitsLoss, {"pos_weight": 3.0}).build().pos_weight.dim()


def test_build_passes_positional_only_and_starred_arguments() -> None:
    class Odd:
        def __init__(self, first: int, /, *layers: int, last: int = 0) -> None:
            self.got = first, layers, last

    bound, found = bind(ANY, "Odd", Odd, {"first": 1, "layers": [2, 3], "last": 4})
    assert not found
    assert bound.build().got == (1, (2, 3), 4)


def test_building_twice_gives_objects_that_share_nothing() -> None:
    class Holder:
        def __init__(self, items: list[int], more: Any) -> None:
            self.items, self.more = items, more

    bound = Bound("Holder", Holder, {"items": [1], "more": {"a": [2]}})
    first, second = bound.build(), bound.build()
    first.items.append(9)
    first.more["a"].append(9)
    assert (second.items, second.more, bound.args) == ([1], {"a": [2]}, {"items": [1], "more": {"a": [2]}})


def test_an_object_is_handed_on_as_it_is_and_takes_no_arguments() -> None:
    module = nn.Linear(1, 1)
    assert Bound("python:Linear", module, {}).build(num_classes=3) is module
    assert problems(ANY, module, bias=True) == [(("bias",), "'It' is an object already and takes no arguments")]


def test_a_refusing_constructor_is_a_config_error_at_the_components_place() -> None:
    bound = Bound("Net", Net, {"width": -1}, "model", Place("a.json", 3, 5))
    with pytest.raises(ConfigError) as caught:
        bound.build(num_classes=2)
    (problem,) = caught.value.problems
    assert problem.key == "model"
    assert problem.place == Place("a.json", 3, 5)
    assert problem.found.startswith("ValueError: width is negative at ")
    assert "test_binding.py:" in problem.found


def test_errors_of_assay_and_of_the_machine_pass_through_build() -> None:
    def raising(error: Exception) -> Any:
        raise error

    for error in (DataError("no data"), FileNotFoundError("gone"), MemoryError()):
        with pytest.raises(type(error)):
            Bound("raising", raising, {"error": error}).build()
