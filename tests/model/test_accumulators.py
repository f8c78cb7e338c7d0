from __future__ import annotations

import io
import math

import torch

from assay.model.accumulators import WeightedMean, accumulator_dtype

CPU = torch.device("cpu")


def test_a_weighted_mean_divides_the_sums_once():
    mean = WeightedMean.zero(CPU)
    for total, weight in ((6.0, 3), (1.0, 1)):
        mean.add(torch.tensor(total), weight)
    assert mean.mean.item() == 7 / 4


def test_weights_may_be_numbers_or_tensors():
    mean = WeightedMean.zero(CPU)
    mean.add(torch.tensor(6.0), 3)
    mean.add(torch.tensor(1.0), torch.tensor(1))
    assert mean.mean.item() == 7 / 4


def test_a_mean_over_nothing_is_nan():
    assert math.isnan(WeightedMean.zero(CPU).mean.item())


def test_sums_are_in_double_precision_except_on_apple_gpus():
    mean = WeightedMean.zero(CPU)
    for _ in range(1000):
        mean.add(torch.tensor(0.1, dtype=torch.float64), 1)
    assert abs(mean.mean.item() - 0.1) < 1e-14
    assert mean.total.dtype == torch.float64
    assert accumulator_dtype(torch.device("mps")) == torch.float32


def test_a_state_goes_through_a_file_that_holds_no_code():
    mean = WeightedMean.zero(CPU)
    mean.add(torch.tensor(6.0), 3)
    file = io.BytesIO()
    torch.save(mean.state_dict(), file)
    file.seek(0)
    other = WeightedMean.zero(CPU)
    other.load_state_dict(torch.load(file, weights_only=True))
    mean.add(torch.tensor(1.0), 1)
    other.add(torch.tensor(1.0), 1)
    assert other.mean.item() == mean.mean.item() == 7 / 4
