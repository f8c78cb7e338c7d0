"""A task that holds all that a resume can lose, and takes a third of a second."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

__all__ = ["Net", "Patches", "config"]


class Patches(Dataset[tuple[Tensor, int]]):
    """42 pictures of 1×8×8 in 3 classes, changed by the generators of python (crop), NumPy (flip) and torch (noise)."""

    classes = ("a", "b", "c")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.targets = torch.randint(0, 3, (42,), generator=generator).tolist()
        self.images = torch.rand(42, 1, 8, 8, generator=generator) + torch.tensor(self.targets).view(-1, 1, 1, 1) / 4

    def __len__(self) -> int:
        return 42

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = functional.pad(self.images[index], (1, 1, 1, 1))
        top, left = random.randint(0, 2), random.randint(0, 2)
        image = image[:, top : top + 8, left : left + 8]
        if np.random.rand() < 0.5:
            image = image.flip(-1)
        return image + 0.1 * torch.randn(1, 8, 8), self.targets[index]


class Net(nn.Module):
    """Convolution, batch normalisation, dropout and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits


def config(**changes: Any) -> dict[str, Any]:
    """6 epochs of 5 batches of 7 (the last of 6) in two micro-batches, a save every 7 updates, a validation every 3.

    `changes` replace whole sections.
    """
    return {
        "project": "tests",
        "name": "killed",
        "seed": 3,
        "host": {"device": "cpu", "threads": 1},
        "data": {
            "dataset": "tasks:Patches",
            "loader": {"args": {"batch_size": 7}},
            "split": {"validation": 8, "test": 0},
        },
        "model": "tasks:Net",
        "loss": {"type": "CrossEntropyLoss", "args": {"label_smoothing": 0.1}},
        "metrics": ["Accuracy", "ConfusionMatrix", {"type": "AUROC", "args": {"task": "multiclass", "num_classes": 3}}],
        "optimizer": {"type": "AdamW", "args": {"lr": 0.02}},
        "schedulers": [
            {"type": "LinearLR", "unit": "batch", "args": {"start_factor": 0.1, "total_iters": 8}},
            {"type": "CosineAnnealingLR", "unit": "batch"},
        ],
        "trainer": {
            "args": {
                "epochs": 6,
                "accumulate": 2,
                "clip": 1.0,
                "ema": 0.9,
                "early_stopping": {"patience": 9},
                "monitor": "max validation/accuracy",
            }
        },
        "validation": {"every": "3ba"},
        "checkpoints": {"every": "7ba", "keep_last": 2, "keep_best": 1},
        "logging": {"every": "1ba"},
        "loggers": [],
        **changes,
    }


def short(**changes: Any) -> dict[str, Any]:
    """20 steps in 4 epochs, a save every 4, no accumulation or average."""
    settings = {"trainer": {"args": {"epochs": 4}}, "checkpoints": {"every": "4ba"}, "metrics": ["Accuracy"]}
    return config(**{**settings, "optimizer": {"type": "Adam", "args": {"lr": 0.02}}, "schedulers": [], **changes})
