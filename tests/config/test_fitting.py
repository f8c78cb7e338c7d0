from __future__ import annotations

import enum
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest
import torch
from annotated_types import Ge, Gt, Interval, Lt, MinLen

from assay.config.fitting import Misfit, describe, fit


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    DEFAULT = RED


@dataclass
class Stop:
    patience: int
    min_delta: float = 0.0
    colours: tuple[Colour, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError("patience is at least 1")


Kilo = NewType("Kilo", float)
Share = Annotated[float, Interval(ge=0, le=1)]


@pytest.mark.parametrize(
    ("annotation", "value", "fitted"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, 1e-3, 1e-3),
        (float, "1e-3", 1e-3),
        (float | None, "-1.5E+3", -1500.0),
        (float | str, "1e-3", "1e-3"),
        (float | torch.Tensor, "1e-3", 1e-3),
        (Share, "1e-1", 0.1),
        (Share | None, None, None),
        (Annotated[Any, Ge(0)], "text", "text"),
        (bool, True, True),
        (str, "a", "a"),
        (None, None, None),
        (Optional[int], None, None),  # noqa: UP045 - the old spelling must work too
        (Union[int, str], "a", "a"),  # noqa: UP007
        (float | int, 3, 3),
        (int | bool, True, True),
        (Literal["cos", "linear"], "cos", "cos"),
        (Literal[1, None], None, None),
        (list[int], [1, 2], [1, 2]),
        (list, [1, "a"], [1, "a"]),
        (Sequence[float], [1, 2], [1.0, 2.0]),
        (Iterable[int], [1], [1]),
        (tuple[float, float], [0.9, 1], (0.9, 1.0)),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (tuple, [1], (1,)),
        (set[int], [1, 1], {1}),
        (int | Sequence[int], [1, 2], [1, 2]),
        (dict[str, float], {"0": 1}, {"0": 1.0}),
        (Mapping[int, float], {"8": 0.1}, {8: 0.1}),
        (Any, {"x": [1]}, {"x": [1]}),
        (Callable[[int], int], "anything", "anything"),
        (Callable[[int], int] | None, "anything", "anything"),
        (Path, "data", Path("data")),
        (str | Path, "data", "data"),
        (Annotated[int, "metres"], 3, 3),
        (Kilo, 3, 3.0),
        (Colour, "red", Colour.RED),
        (Colour, "BLUE", Colour.BLUE),
        (Colour, "DEFAULT", Colour.RED),
        (Stop, {"patience": 3, "colours": ["red"]}, Stop(3, 0.0, (Colour.RED,))),
        (Stop | Mapping[str, Any] | None, {"patience": 3}, Stop(3)),
        (torch.dtype, "float32", torch.float32),
        (torch.dtype | dict[str, Any], "torch.float64", torch.float64),
        (float | torch.Tensor, 1, 1.0),
        (numbers.Number | Sequence[float], 20, 20),
        (numbers.Number | Sequence[float], [1, 2], [1.0, 2.0]),
    ],
)
def test_values_fit_and_come_out_as_the_annotation_wants_them(annotation: Any, value: Any, fitted: Any) -> None:
    found = fit(annotation, value)
    assert found == fitted
    assert type(found) is type(fitted)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 64.0),
        (int, True),
        (int, "3"),
        (int, None),
        (float, "0.1"),
        (float, "1e-3x"),
        (float, "1e999"),
        (int, "1e3"),
        (float, True),
        (float, 10**400),
        (bool, 1),
        (bool, "true"),
        (str, 3),
        (None, 0),
        (int | None, 1.5),
        (int | str, [1]),
        (Literal["cos", "linear"], "sin"),
        (Literal[1], True),
        (list[int], 3),
        (list[int], [1, "a"]),
        (list[int], {"0": 1}),
        (Sequence[float], "abc"),
        (tuple[float, float], [0.9]),
        (dict[str, float], [1]),
        (Mapping[int, float], {"first": 0.1}),
        (Mapping[str, float], {"0": "x"}),
        (Path, 3),
        (Colour, "green"),
        (Stop, {"patience": 0}),
        (Stop, {"min_delta": 1.0}),
        (Stop, {"patience": 1, "patient": 2}),
        (Stop | Mapping[str, Any] | None, {"patients": 3}),
        (torch.dtype, "float31"),
        (torch.dtype, "nn"),
        (torch.Tensor | None, "ones"),
        (torch.Tensor, [[1, 2], [3]]),
        (torch.Tensor, [True]),
        (float | torch.Tensor, "0.1"),
        (float | torch.Tensor, [0.1]),
        (Share, -0.1),
        (Share, "1e1"),
        (Share | None, 2),
        (list[Share], [0.5, 1.5]),
        (Annotated[int, Gt(0), Lt(3)], 3),
        (numbers.Number | Sequence[float], "20"),
    ],
)
def test_values_that_do_not_fit_are_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(Misfit):
        fit(annotation, value)


def test_null_fits_where_it_is_the_default() -> None:
    assert fit(int, None, None) is None


def test_lists_of_numbers_become_tensors() -> None:
    weight = fit(torch.Tensor | None, [[1, 2.5]])
    assert torch.equal(weight, torch.tensor([[1.0, 2.5]]))


def test_every_fault_inside_is_reported_with_its_path() -> None:
    with pytest.raises(Misfit) as caught:
        fit(dict[str, list[int]], {"a": [1, "b"], "c": [2.5]})
    assert [path for path, *_ in caught.value.faults] == [("a", 1), ("c", 0)]


def test_faults_of_a_dataclass_name_its_keys() -> None:
    with pytest.raises(Misfit) as caught:
        fit(Stop | None, {"patienc": 3, "min_delta": "x"})
    assert [(path, wrong, hint) for path, wrong, _, _, hint in caught.value.faults] == [
        (("patienc",), "unknown key 'patienc'", "did you mean 'patience'?"),
        (("min_delta",), "has a wrong value", ""),
    ]


def test_hints_say_how_to_write_a_number() -> None:
    for annotation, value, hint in ((float, "0.1", "write 0.1 without quotes"), (int, 64.0, "write 64")):
        with pytest.raises(Misfit) as caught:
            fit(annotation, value)
        assert caught.value.faults[0][4] == hint


def test_the_value_is_not_shared_with_what_is_built() -> None:
    value = {"a": [1]}
    fit(Any, value)["a"].append(2)
    assert value == {"a": [1]}


def test_annotations_are_described_in_words_of_json() -> None:
    assert describe(float | torch.Tensor) == "a number"  # a tensor of one number
    assert describe(torch.Tensor | None) == "a list of numbers or null"
    assert describe(tuple[float, float]) == "a list of 2 numbers"
    assert describe(tuple[int, str]) == "a list [a whole number, a string]"
    assert describe(tuple[float | str, float | str]) == "a list of 2, each a number or a string"
    assert describe(Annotated[int, Ge(1)] | None) == "a whole number of at least 1 or null"
    assert describe(Optional[Literal["a", "b"]]) == "one of 'a', 'b' or null"  # noqa: UP045
    assert describe(Stop) == "an object with patience, min_delta, colours"
    assert describe(Mapping[str, int]) == "an object"


def test_keys_that_are_positions_are_whole_numbers_and_all_that_are_not_are_told() -> None:
    positions = Annotated[Mapping[Annotated[int, Ge(0)], float], MinLen(1)]
    assert fit(positions, {"0": 1, "10": 2}) == {0: 1.0, 10: 2.0}
    with pytest.raises(Misfit) as caught:
        fit(positions, {"a": 1, "-1": 2, "05": 3, "5": "x"})
    assert [path for path, *_ in caught.value.faults] == [("a",), ("-1",), ("05",), ("5",)]
    with pytest.raises(Misfit) as caught:
        fit(positions, {})
    assert caught.value.faults[0][2:4] == ("an empty object", "an object with at least 1 entry")
