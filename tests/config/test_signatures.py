from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torchmetrics
import torchvision
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR

from assay.config.signatures import parameters


class Parent:
    def __init__(self, width: int, depth: int = 2) -> None:
        self.width, self.depth = width, depth


class Child(Parent):
    def __init__(self, colour: str = "red", **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Heir(Child):
    pass


class Taker(Parent):
    def __init__(self, **options: Any) -> None:
        self.scale = options.pop("scale", 1.0)
        self.shift = options.get("shift") or options["offset"]
        if options:
            raise ValueError(f"unexpected {sorted(options)}")


class Keeper:
    def __init__(self, **options: Any) -> None:
        self.options = options


class Deaf(Parent):
    def __init__(self, size: int = 1, **ignored: Any) -> None:
        super().__init__(size)


class Passer(Parent):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(3)
        self.inner = Keeper(**kwargs)


class Net(nn.Module):
    def __init__(self, width: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class ByNew:
    def __new__(cls, size: int = 2) -> ByNew:
        return super().__new__(cls)


class Wrapper(Parent):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def test_arguments_behind_kwargs_are_those_of_the_parents() -> None:
    assert list(parameters(Child).known) == ["width", "depth", "colour"]
    assert list(parameters(Heir).known) == ["width", "depth", "colour"]
    assert not parameters(Heir).open


def test_a_parents_required_argument_is_not_required_behind_kwargs() -> None:
    assert parameters(Parent).known["width"].required
    assert not parameters(Child).known["width"].required


def test_names_that_the_body_takes_from_kwargs_are_arguments() -> None:
    assert sorted(parameters(Taker).known) == ["offset", "scale", "shift"]
    assert not parameters(Taker).open


@pytest.mark.parametrize("cls", [Keeper, Passer])
def test_kwargs_that_are_kept_or_handed_elsewhere_take_any_name(cls: type) -> None:
    assert parameters(cls).open


@pytest.mark.parametrize("cls", [Deaf, Net])
def test_kwargs_that_nobody_reads_take_no_name(cls: type) -> None:
    assert not parameters(cls).open
    assert len(parameters(cls).known) == 1


def test_a_wrapper_of_args_and_kwargs_has_the_parents_arguments_only() -> None:
    assert list(parameters(Wrapper).known) == ["width", "depth"]
    assert parameters(Wrapper).spread == ""


def test_classes_without_an_initialiser_take_nothing() -> None:
    class Empty(nn.Module):
        pass

    assert parameters(Empty).known == {}
    assert not parameters(Empty).open


def test_a_class_with_only_new_has_its_arguments() -> None:
    assert list(parameters(ByNew).known) == ["size"]


def test_a_new_that_returns_its_own_class_is_followed_once() -> None:
    class Own(Parent):
        def __new__(cls, size: int = 2, **kwargs: Any) -> Own:
            return super().__new__(cls)

    # The annotation cannot be resolved inside a function; given as an object, it can.
    Own.__new__.__annotations__["return"] = Own
    parameters.cache_clear()
    assert list(parameters(Own).known) == ["depth", "size"]


def test_positional_only_and_starred_arguments_are_known() -> None:
    class Odd:
        def __init__(self, first: int, /, *layers: int, last: int = 0) -> None: ...

    found = parameters(Odd)
    assert found.positional_only == ("first",)
    assert found.spread == "layers"
    assert found.known["layers"].annotation == list[int]
    assert not found.known["layers"].required


def test_a_partial_has_the_rest_of_its_functions_arguments() -> None:
    assert parameters(partial(Parent, 3)).known.keys() == {"depth"}


def test_a_function_reaches_the_class_that_it_returns() -> None:
    found = parameters(torchvision.models.resnet50)
    assert {"weights", "progress", "num_classes", "zero_init_residual"} <= found.known.keys()
    assert not {"block", "layers"} & found.known.keys()  # the function passes these itself
    assert not found.open
    assert "dropout" in parameters(torchvision.models.mobilenet_v3_small).known


def test_a_function_that_says_nothing_of_its_kwargs_takes_any_name() -> None:
    def bare(**kwargs: Any): ...

    def vague(**kwargs: Any) -> nn.Module:
        return nn.Identity()

    for function in (bare, vague):
        assert parameters(function).open
        assert parameters(function).known == {}


def test_torchmetrics_wrapper_classes_show_their_arguments() -> None:
    found = parameters(torchmetrics.Accuracy)
    assert {"task", "num_classes", "top_k", "sync_on_compute"} <= found.known.keys()
    assert found.known["task"].required
    assert not found.open


def test_every_metric_loss_and_optimizer_has_a_signature() -> None:
    classes = [getattr(torchmetrics, name) for name in torchmetrics.__all__]
    classes = [cls for cls in classes if isinstance(cls, type)]
    assert len(classes) > 50
    # A few hand their arguments to a metric inside them.
    assert sum(parameters(cls).open for cls in classes) < 5
    assert "lr" in parameters(SGD).known
    assert parameters(nn.CrossEntropyLoss).known["ignore_index"].annotation is int


def test_annotations_imported_for_type_checkers_only_do_not_hide_the_others() -> None:
    assert parameters(MultiStepLR).known["gamma"].annotation is float
    assert parameters(MultiStepLR).known["milestones"].annotation.__args__ == (int,)
    assert "lr_lambda" in parameters(LambdaLR).known


class _Net:
    def __init__(self, block: str, layers: list[int], num_classes: int, width: int = 64) -> None: ...


def _net(name: str, block: str, layers: list[int], pretrained: bool, **kwargs: Any) -> Any:
    return _Net(block, layers, **kwargs)


def _net18(pretrained: bool = False, **kwargs: Any) -> Any:
    return _net("net18", "basic", [2, 2], pretrained, **kwargs)


def _straight(**kwargs: Any):  # type: ignore[no-untyped-def]
    return _Net("basic", layers=[1], **kwargs)


def test_kwargs_of_a_function_lead_to_what_it_calls_with_them() -> None:
    found = parameters(_net18)
    assert set(found.known) == {"num_classes", "width", "pretrained"}
    assert not found.open
    assert not any(parameter.required for parameter in found.known.values())
    assert set(parameters(_straight).known) == {"num_classes", "width"}


class Documented:
    """Has a docstring.

    Args:
        size (int): how large it is.
        rate (int): how fast; the default is a float all the same.
        loud (bool, optional): whether it talks.
        scale (float, optional): how it is scaled.
        kept: what is kept.
    """

    def __init__(self, size, rate=0.5, loud=None, scale=1, *, kept: str = "") -> None: ...  # type: ignore[no-untyped-def]


class DocumentedHeir(Documented):
    """Has another.

    Args:
        kept: something of its own.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_without_an_annotation_the_type_in_the_docstring_counts_unless_the_default_is_another() -> None:
    known = parameters(Documented).known
    assert [known[name].annotation for name in ("size", "rate", "loud", "scale", "kept")] == [
        int,
        Any,
        bool,
        float,
        str,
    ]


def test_a_parameter_knows_its_meaning_from_the_nearest_docstring() -> None:
    known = parameters(DocumentedHeir).known
    assert known["size"].description == "how large it is."
    assert known["kept"].description == "something of its own."
    assert parameters(Documented).known["kept"].description == "what is kept."
