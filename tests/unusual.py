"""Trainers and optimizers that are seldom seen: closures, two optimizers, rates that are tensors, layers that thaw."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor

from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult


class Telling(DefaultTrainer):
    """Records a sum of the bytes that a step is given."""

    def train_step(self, batch: Any) -> StepResult:
        result = super().train_step(batch)
        digest = zlib.crc32(b"".join(part.contiguous().numpy().tobytes() for part in batch))
        result.values["inputs"] = torch.tensor(digest, dtype=torch.float64)
        return result


class Thawing(DefaultTrainer):
    """Trains the head alone, and from the second epoch on the body too, which is frozen again for three steps."""

    def train_step(self, batch: Any) -> StepResult:
        trains = self.progress.epoch >= 1 and not 9 <= self.progress.step < 12
        for name, parameter in self.model.named_parameters():
            if not name.startswith("head"):
                parameter.requires_grad_(trains)
        return super().train_step(batch)


class ByClosure(DefaultTrainer):
    """For optimizers that look at the loss several times in a step."""

    def update(self, batch: Any) -> list[StepResult]:
        batch, results = self.to_device(batch), []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            results.append(self.train_step(batch))
            results[-1].loss.backward()
            return results[-1].loss

        self.optimizer.step(closure)
        return results[:1]


class MuonBeside(DefaultTrainer):
    """Muon for the matrices, which is all that it takes, and AdamW for the rest."""

    def __init__(self, parts: Any, **settings: Any) -> None:
        super().__init__(parts, **settings)
        rest = [parameter for parameter in self.model.parameters() if parameter.ndim != 2]
        self.beside = torch.optim.AdamW(rest, lr=0.01)

    def update(self, batch: Any) -> list[StepResult]:
        self.beside.zero_grad()
        results = super().update(batch)
        self.beside.step()
        return list(results)


class Matrices(torch.optim.Muon):
    """Muon over those of the parameters that are matrices."""

    def __init__(self, params: Any, lr: float = 0.02) -> None:
        super().__init__([parameter for parameter in params if parameter.ndim == 2], lr=lr)


class TensorRate(torch.optim.Adam):
    """A learning rate that is a tensor, as torch has it for compiled steps."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=torch.tensor(0.02), foreach=False)
