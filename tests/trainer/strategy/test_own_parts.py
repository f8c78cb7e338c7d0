"""Trainers, losses and embeddings of one's own over several processes: as in one, and resumed to the bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import assay

sys.path.insert(0, str(Path(__file__).parent))
from ranks import largest_difference, last_weights, result_of, run_ranks

Tiny = Callable[..., dict[str, Any]]

SOURCE = '''
import os, signal
import torch
from torch import nn
from torch.nn import functional
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult


class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.hidden, self.norm, self.head = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, num_classes)

    def forward(self, x):
        return self.head(self.norm(self.hidden(x.flatten(1))).relu())


class Bag(nn.Module):
    """Embeddings of the grey values of each place, and of a bright corner, which not all parts of a batch have."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.values, self.corner = nn.Embedding(17 * 64, 4, sparse=True), nn.Embedding(1, 4, sparse=True)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        x = x.flatten(1)
        held = self.values((x * 16).long() + 17 * torch.arange(64)).sum(1)
        rows = (x[:, -1] > 0.9).nonzero().flatten()
        if len(rows):
            held = held.index_add(0, rows, self.corner(torch.zeros_like(rows)))
        return self.head(held)


class Killed(DefaultTrainer):
    """Is killed before an update, on all ranks, where the environment says so."""

    def update(self, batch):
        if self.progress.step == int(os.environ.get("KILL", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(batch)


class Adversarial(Killed):
    """The model gives classes, and a critic tells them from the true ones; each has an optimizer."""

    def __init__(self, parts, **settings):
        super().__init__(parts, **settings)
        torch.manual_seed(7)
        self.critic = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 1)).double()
        self.of_critic = torch.optim.SGD(self.critic.parameters(), lr=0.05, momentum=0.5)

    def update(self, batch):
        if self.progress.step == int(os.environ.get("KILL", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        x, target = self.to_device(batch)
        true = functional.one_hot(target, 10).double()
        scores = self.model(x)
        made = scores.softmax(1)
        self.of_critic.zero_grad()
        found = functional.softplus(-self.critic(true)).mean() + functional.softplus(self.critic(made.detach())).mean()
        found.backward()
        self.of_critic.step()
        self.optimizer.zero_grad()
        loss = functional.softplus(-self.critic(made)).mean() + 0.1 * functional.cross_entropy(scores, target)
        loss.backward()
        self.step_optimizer()
        return [StepResult(loss.detach(), scores.detach(), target, len(target), values={"critic": found.detach()})]


class Held:
    """A critic and its optimizer in an object that has no state_dict."""

    def __init__(self, critic, optimizer) -> None:
        self.critic, self.optimizer = critic, optimizer


class InObjects(Adversarial):
    """The same, but that the trainer has them in a list of such objects."""

    def __init__(self, parts, **settings):
        super().__init__(parts, **settings)
        self.held = [Held(self.critic, self.of_critic)]
        del self.critic, self.of_critic

    def __getattr__(self, name):
        if name in ("critic", "of_critic") and "held" in vars(self):
            return {"critic": self.held[0].critic, "of_critic": self.held[0].optimizer}[name]
        raise AttributeError(name)


class Around(Killed):
    """A layer of its own behind the model, with an optimizer that steps after the update of every trainer."""

    def __init__(self, parts, **settings):
        super().__init__(parts, **settings)
        torch.manual_seed(7)
        self.behind = nn.Linear(10, 10).double()
        self.other = torch.optim.SGD(self.behind.parameters(), lr=0.1)

    def _step(self, batch):
        result = super()._step((batch[0], batch[1]))
        result.output = self.behind(result.output)
        result.loss = self.loss(result.output, batch[1])
        return result

    def update(self, batch):
        self.other.zero_grad()
        results = super().update(batch)
        self.other.step()
        return results


class Remembering(nn.Module):
    """Draws away from the last outputs of this process, which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(16, 10))

    def forward(self, output, target):
        loss = functional.cross_entropy(output, target) - 0.01 * torch.cdist(output, self.queue).mean()
        if self.training:
            self.queue = torch.cat([output.detach(), self.queue])[:16]
        return loss
'''


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    (project / "own_parts.py").write_text(SOURCE)
    return project


def config(tiny: Tiny, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """21 steps of an epoch, of 64 samples, the last of 13; a checkpoint after every fifth."""
    return tiny(
        {
            "folder": str(folder),
            "host.precision": "float64",
            "data.loader.args": {"batch_size": 64},
            "data.transforms.train": [{"type": "RandomCrop", "args": {"size": 8, "padding": 1}}],
            "model": {"type": "own_parts:Net"},
            "optimizer": {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}},
            "trainer": {"type": "own_parts:Killed", "args": {"epochs": 1}},
            "checkpoints": {"every": "5ba"},
            "logging": {"every": "1ba", "system": None},
            **changes,
        }
    )


def trained(config: dict[str, Any] | None, resume: str | None = None) -> Path:
    return assay.train(config, resume=resume, quiet=True, preflight=False).path.absolute()


def lines(run: Path) -> list[dict[str, Any]]:
    kept = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in kept]


def state(run: Path) -> Any:
    from assay.trainer.checkpoint import Checkpoints

    return Checkpoints(run / "checkpoints").load("last").tensors("training")


CASES: dict[str, dict[str, Any]] = {
    "two networks": {"trainer": {"type": "own_parts:Adversarial", "args": {"epochs": 1}}},
    "two networks, one in an object": {"trainer": {"type": "own_parts:InObjects", "args": {"epochs": 1}}},
    "sparse": {
        "model": {"type": "own_parts:Bag"},
        "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
        "trainer.args": {"epochs": 1, "accumulate": 2, "clip": 1.0},
    },
    "around the update": {  # 141 samples at the end: micro-batches of 47, 47 and 47
        "trainer": {"type": "own_parts:Around", "args": {"epochs": 2, "accumulate": 3}},
        "data.loader.args": {"batch_size": 144},
    },
    "workers": {"data.loader.args": {"batch_size": 64, "workers": 2}},
}
QUEUE: dict[str, Any] = {"loss": {"type": "own_parts:Remembering"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_parts_of_ones_own_end_in_two_processes_where_they_end_in_one(mine: Path, tiny: Tiny, name: str) -> None:
    one = trained(config(tiny, mine / "one", CASES[name]))
    several = result_of(run_ranks(2, trained, config(tiny, mine / "several", CASES[name])))
    assert largest_difference(last_weights(one), last_weights(several)) < 1e-10
    assert [line["values"].keys() for line in lines(one)] == [line["values"].keys() for line in lines(several)]
    for a, b in zip(lines(one), lines(several), strict=True):
        assert a["values"] == pytest.approx(b["values"], rel=1e-9, abs=1e-9)
    if name.startswith("two networks"):
        part = "critic" if name == "two networks" else "held.0.critic"
        critic, other = (state(run)["own"][part] for run in (one, several))
        assert largest_difference(critic, other) < 1e-10
    if name == "workers":  # and to the bit where it is those of two processes that read by themselves
        settings = config(tiny, mine / "none", {"data.loader.args": {"batch_size": 64, "workers": 0}})
        none = result_of(run_ranks(2, trained, settings))
        assert largest_difference(last_weights(none), last_weights(several)) == 0.0
        assert lines(none) == lines(several)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*CASES, "queue"])
def test_parts_of_ones_own_that_were_killed_and_resumed_are_the_same_to_the_bit(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    changes = {**CASES, "queue": QUEUE}[name]
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole", changes)))
    monkeypatch.setenv("KILL", "13")
    assert run_ranks(2, trained, config(tiny, mine / "killed", changes)) == [-9, -9]
    monkeypatch.delenv("KILL")
    (run,) = (mine / "killed").glob("*/*")
    result_of(run_ranks(2, trained, None, str(run)))
    assert largest_difference(last_weights(whole), last_weights(run)) == 0.0
    assert lines(whole) == lines(run)
    for part, held in state(whole)["own"].items():
        assert repr(held) == repr(state(run)["own"][part])
    if name == "queue":
        first, second = state(run)["loss"]["queue"], state(run)["ranks"][1]["parts"]["loss"]["queue"]
        assert not torch.equal(first, second)
    else:  # nothing is kept twice
        assert [held["parts"] for held in state(run)["ranks"]] == [{}, {}] or name.startswith("two networks")
