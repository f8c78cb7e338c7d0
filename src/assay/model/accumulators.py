"""Sums that stay on the device until they are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["WeightedMean", "accumulator_dtype"]


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """float64, in which a sum over an epoch is exact for all we print; Apple's GPUs have float32 only."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass
class WeightedMean:
    """A running sum of values and a running sum of their weights; neither waits for the device.

    A weight that is a number of the host stays there: it costs no kernel.
    """

    total: Tensor
    weight: Tensor | float = 0.0

    @classmethod
    def zero(cls, device: torch.device) -> WeightedMean:
        return cls(torch.zeros((), dtype=accumulator_dtype(device), device=device))

    def add(self, total: Tensor, weight: Tensor | float) -> None:
        """Add a value that is a sum already, and the weight that it is a sum over."""
        self.total = self.total + total
        self.weight = self.weight + weight

    @property
    def mean(self) -> Tensor:
        return self.total / self.weight if isinstance(self.weight, Tensor) or self.weight else self.total * torch.nan

    def state_dict(self) -> dict[str, Tensor | float]:
        return {"total": self.total, "weight": self.weight}

    def load_state_dict(self, state: dict[str, Tensor | float]) -> None:
        device, dtype = self.total.device, self.total.dtype
        total, weight = state["total"], state["weight"]
        self.total = torch.as_tensor(total).to(device, dtype)
        self.weight = weight.to(device) if isinstance(weight, Tensor) else float(weight)
