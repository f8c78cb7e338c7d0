"""A project whose model and trainers are trained in rows, and what is asked of such a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ranks import TWO_OPTIMIZERS, settings_of_steps

import assay

Tiny = Callable[..., dict[str, Any]]

SOURCE = (
    '''
import copy, os, signal
import torch
from torch import nn
from assay.trainer.default import DefaultTrainer


class Block(nn.Module):
    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.BatchNorm1d(width) if norm else nn.Identity()

    def forward(self, x):
        return x + self.norm(self.linear(x)).relu()


class Net(nn.Module):
    """Blocks in a list; 13 and 10 rows, which two do not share evenly; a scale without a dimension."""

    def __init__(self, num_classes: int, norm: bool = True, unused: bool = False, tied: bool = False,
                 drop: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(64, 13)
        self.blocks = nn.ModuleList(Block(13, norm) for _ in range(3))
        if tied:
            self.blocks[2].linear = self.blocks[0].linear
        self.scale, self.drop = nn.Parameter(torch.tensor(0.5)), nn.Dropout(drop)
        self.head = nn.Linear(13, num_classes)
        if unused:
            self.never = nn.Linear(5, 5)
        self.first.bias.requires_grad_(False)

    def forward(self, x):
        x = self.first(x.flatten(1)).relu()
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x) * self.scale)


class Counting(DefaultTrainer):
    """Adds to the update that there is."""

    def update(self, batch):
        self.updated = getattr(self, "updated", 0) + 1
        return super().update(batch)


class Teacher(DefaultTrainer):
    """Is drawn to what a copy of its model says, which stays as it was."""

    def __init__(self, parts, **settings):
        super().__init__(parts, **settings)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)

    def train_step(self, batch):
        result = super().train_step(batch)
        with torch.no_grad():
            said = self.teacher(batch[0])
        result.loss = result.loss + 0.1 * (result.output - said).square().mean()
        return result


class Acting(DefaultTrainer):
    """Does at a step and on a rank what the environment says: `what step rank`."""

    def train_step(self, batch):
        what, step, rank = os.environ.get("ACT", "nothing 0 0").split()
        if self.progress.step == int(step) and rank == os.environ.get("RANK", "0"):
            if what == "loss":
                batch = (batch[0] * float("nan"), batch[1])
            if what == "gradient":
                result = super().train_step(batch)
                result.loss = result.loss + (result.output * 0).sqrt().sum()
                return result
            if what.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, what))
        return super().train_step(batch)
'''
    + TWO_OPTIMIZERS
)


def config(tiny: Tiny, folder: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """In rows of a million numbers or more and, with `LEAST` 1, of each block."""
    own = {"host.strategy": "fsdp", "model": {"type": "sharded_parts:Net"}}
    return tiny(settings_of_steps(folder, 0.05, **{**own, **(changes or {})}))


def trained(config: dict[str, Any], least: int = 1, **options: Any) -> Path:
    from assay.trainer.strategy import units

    units.LEAST = least
    return assay.train(config, quiet=True, preflight=False, **options).path.absolute()


def resumed(run: Path, size_of_run: int = 20) -> Path:
    from assay.trainer.strategy import units

    units.LEAST = 1
    changes = (f"trainer.args.max_steps={size_of_run}",)
    return assay.train(resume=run, overrides=changes, quiet=True, preflight=False).path.absolute()


def verify(run: Path) -> list[str]:
    from assay.store.run_folder import RunFolder
    from assay.store.verification import verify as look

    return [fault for check in look(RunFolder(run)) for fault in check.faults]


def everything(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint, the whole ones, by path."""
    from assay.trainer.checkpoint import Checkpoints

    checkpoint = Checkpoints(run / "checkpoints").load("last")
    found: dict[str, torch.Tensor] = {}

    def look(value: Any, path: str) -> None:
        if isinstance(value, torch.Tensor):
            found[path] = value
        for key, item in value.items() if isinstance(value, dict) else ():
            look(item, f"{path}/{key}")

    for name in ("model", "ema", "training"):
        if checkpoint.has(name):
            look(checkpoint.tensors(name), name)
    return {path: value for path, value in found.items() if not path.startswith(("training/metrics", "training/gen"))}


def assert_same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []
