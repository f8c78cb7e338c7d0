"""What no checkpoint can hold is told before the first step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import assay
from assay.model.losses.base import BaseLoss
from assay.trainer.unsaved import unsaved

Tiny = Callable[..., dict[str, Any]]


class Heads(nn.Module):
    def __init__(self, hidden: int = 16, kind: str = "list") -> None:
        super().__init__()
        self.first = nn.Linear(64, 10)
        heads = [nn.Linear(10, 10), nn.ReLU()]
        made: dict[str, Any] = {
            "list": heads, "tuple": tuple(heads), "dict": {"a": heads}, "registered": nn.ModuleList(heads),
            "cycle": itertools.cycle([0.5, 1.0]), "weight": [nn.Parameter(torch.ones(10))],
            "plain": [1, "a", nn.ReLU()],
        }  # fmt: skip
        self.heads = made[kind]
        self.again = [self.first]  # registered elsewhere

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.first(images.flatten(1))


@pytest.mark.parametrize(
    ("kind", "place", "said"),
    [
        ("list", "model.heads.0", "Linear in a plain list: it is neither trained nor saved; use torch.nn.ModuleList"),
        ("tuple", "model.heads.0", "Linear in a plain tuple"),
        ("dict", "model.heads.a.0", "Linear in a plain dict"),
        (
            "weight",
            "model.heads.0",
            "Parameter in a plain list: it is neither trained nor saved",
        ),
        ("cycle", "model.heads", "cycle, an iterator: how far it is cannot be saved"),
        ("registered", "", ""),
        ("plain", "", ""),
    ],
)
def test_modules_in_plain_containers_and_iterators_are_found(
    project: Path, tiny: Tiny, kind: str, place: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = assay.train(tiny(), model={"type": Heads, "args": {"kind": kind}}, preflight=False)
    assert run._built is not None
    found = unsaved(run._built.trainer)
    assert list(found) == [place] * bool(place)
    told = capsys.readouterr().out
    assert (f"warning: {place} is a {said}" in told.replace("\n", " ")) is bool(place)
    again = {"preflight": False, "quiet": True, "overrides": ["trainer.args.epochs=3"]}
    resumed = assay.train(tiny(), resume=run.path, model={"type": Heads, "args": {"kind": kind}}, **again)
    assert resumed.status["resumed"][-1]["level"] == ("A" if place else "B")


class Slotted:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Counting(BaseLoss):
    """A loss that hangs on what an object with slots has counted."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = Slotted()

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.kept.count += self.training
        return nn.functional.cross_entropy(output, target) * (1 + 0.1 * self.kept.count)


def test_what_is_kept_in_slots_goes_on(project: Path, tiny: Tiny) -> None:
    whole = assay.train(tiny(), loss=Counting, preflight=False, quiet=True)
    assert whole._built is not None
    count = whole._built.trainer.loss.kept.count
    half = assay.train(tiny({"trainer.args.epochs": 1}), loss=Counting, preflight=False, quiet=True)
    again = assay.train(tiny(), loss=Counting, resume=half.path, preflight=False, quiet=True)
    assert again._built is not None
    assert again._built.trainer.loss.kept.count == count > 11
    assert again.last == whole.last


def test_check_tells_it_too(project: Path, tiny: Tiny) -> None:
    notes = assay.check(tiny(), model=Heads).notes
    assert any(note.startswith("model.heads.0 is a Linear in a plain list") for note in notes), notes
