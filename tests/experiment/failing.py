"""Parts of a run that go wrong in a step that a test chooses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import assay
from assay.data.datasets.digits import Digits
from assay.errors import AssayError
from assay.trainer.default import DefaultTrainer


class Bad:
    """What goes wrong, and in which step."""

    kind, step = "", -1


class Norm(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return out / 0.0 if is_now("layer", x) else out


class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.flat, self.first, self.norm = nn.Flatten(), nn.Linear(64, 8), Norm(8)
        self.drop, self.last = nn.Dropout(0.2), nn.Linear(8, num_classes)
        self.trainer: Any = None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.first(self.flat(x)))
        if is_now("forward", x):
            hidden = hidden * math.inf
        if is_now("memory", x):
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        if is_now("lost", x):
            raise KeyError("lost")
        out = self.last(self.drop(hidden))
        if is_now("gradient", x):
            # The square root of zero has an infinite slope, and zero times that is no number.
            out = out + torch.sqrt(self.first.weight.sum() * 0.0)
        if is_now("backward memory", x):
            out.register_hook(out_of_memory)
        if is_now("loss", x):
            out = out * 0.0 - 1e38
            out[:, 0] += 2e38
        return out


def out_of_memory(gradient: Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def is_now(kind: str, x: Tensor) -> bool:
    return Bad.kind == kind and Trainer.at == Bad.step and type(x) is Tensor


class Trainer(DefaultTrainer):
    at = -1

    def train_step(self, batch: Any) -> Any:
        Trainer.at = self.progress.step
        if Bad.kind == "rate" and self.at == Bad.step:
            self.optimizer.param_groups[0]["lr"] = math.nan
        if Bad.kind == "weight" and self.at == Bad.step:
            with torch.no_grad():
                self.model.get_submodule("last").weight[0, 0] = math.inf
        return super().train_step(batch)

    def evaluate_step(self, batch: Any) -> Any:
        if Bad.kind == "evaluation" and self.progress.step == Bad.step:
            raise MemoryError
        return super().evaluate_step(batch)


class Data(Digits):
    def __getitems__(self, indices: Any) -> Any:
        inputs, targets = super().__getitems__(indices)
        if Bad.kind == "input" and self.split == "train":
            inputs = torch.where(torch.as_tensor(indices).reshape(-1, 1, 1, 1) == Bad.step, math.nan, inputs)
        if Bad.kind == "loading" and Bad.step in indices and len(indices) > 1:
            raise RuntimeError("not enough memory: you tried to allocate 8 bytes")
        return inputs, targets


CONFIG: dict[str, Any] = {
    "model": Net,
    "trainer.type": Trainer,
    "data.dataset": Data,
    "data.loader.args.batch_size": 100,
    "checkpoints.every": "4ba",
    "trainer.args.epochs": 2,
}
PARTS = {"model": Net, "trainer": Trainer, "dataset": Data}


def failed(config: dict[str, Any], kind: str, step: int) -> tuple[Any, Any]:
    Bad.kind, Bad.step = kind, step
    with pytest.raises(AssayError) as caught:
        assay.train(config, quiet=True, preflight=False)
    run = assay.open("last", **PARTS)
    assert run.status["state"] == "failed"
    return caught.value, run


def weights(folder: Path) -> dict[str, Tensor]:
    held: dict[str, Tensor] = torch.load(folder / "model.pt", weights_only=True)
    return held
