"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge, Interval
from torch import Tensor, nn

from assay.errors import ConfigError, Problem
from assay.model.blocks.dense import DenseBlock

__all__ = ["MLP"]


class MLP(nn.Module):
    """(B, *input_shape) -> (B, num_classes): flattened, then one dense block for each hidden layer.

    Args:
        input_shape: of one sample, of any number of dimensions.
        hidden: units of each hidden layer; none makes it a linear classifier.
        dropout: probability that a hidden unit is left out in training.

    Raises:
        ConfigError: a layer without units, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        input_shape: Sequence[int],
        hidden: Sequence[Annotated[int, Ge(1)]] = (128,),
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if any(units < 1 for units in hidden):
            _refuse("hidden", list(hidden), "whole numbers of at least 1")
        if not 0 <= dropout < 1:
            _refuse("dropout", dropout, "a number in [0, 1)")
        sizes = [math.prod(input_shape), *hidden]
        self.layers = nn.Sequential(*(DenseBlock(before, after, dropout) for before, after in pairwise(sizes)))
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x.flatten(1)))  # type: ignore[no-any-return]


def _refuse(argument: str, found: object, expected: str) -> None:
    problem = Problem(f"MLP: {argument} is out of range", None, f"model.args.{argument}", str(found), expected)
    raise ConfigError.of(problem)
