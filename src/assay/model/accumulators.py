"""Sums that stay on the device until they are read, and their reading."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["accumulator_dtype", "read_numbers"]


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """float64, in which a sum over an epoch is exact for all we print; Apple's GPUs have float32 only."""
    return torch.float32 if device.type == "mps" else torch.float64


def read_numbers(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Numbers from scalars anywhere, those on a device in one transfer (and one wait)."""
    numbers: dict[str, float] = {}
    waiting: list[Tensor] = []
    names: list[str] = []
    for name, value in values.items():
        if not isinstance(value, Tensor):
            numbers[name] = float(value)
        elif value.is_cpu:
            numbers[name] = float(value.item())
        else:
            numbers[name] = math.nan  # its place in the order
            names.append(name)
            waiting.append(value.detach().to(accumulator_dtype(value.device)).reshape(()))
    if waiting:
        numbers.update(zip(names, torch.stack(waiting).tolist(), strict=True))
    return numbers
