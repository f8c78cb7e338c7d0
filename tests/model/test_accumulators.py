from __future__ import annotations

import math

import torch

from assay.model.accumulators import accumulator_dtype, read_numbers


def test_numbers_are_read_in_the_order_of_their_names_wherever_they_are():
    values = {"a": torch.tensor(0.5), "b": 2, "c": torch.tensor([3]), "d": torch.tensor(math.inf), "e": 0.25}
    read = read_numbers(values)
    assert list(read.items()) == [("a", 0.5), ("b", 2.0), ("c", 3.0), ("d", math.inf), ("e", 0.25)]
    assert {type(value) for value in read.values()} == {float}


def test_a_number_in_half_precision_is_read_as_it_is():
    assert read_numbers({"a": torch.tensor(0.1, dtype=torch.bfloat16)}) == {"a": 0.10009765625}


def test_sums_are_in_double_precision_except_on_apple_gpus():
    assert accumulator_dtype(torch.device("cpu")) == torch.float64
    assert accumulator_dtype(torch.device("mps")) == torch.float32
