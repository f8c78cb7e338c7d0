"""Trainers, models, losses, optimizers and transforms that keep something where torch saves nothing of it."""

from __future__ import annotations

import copy
import enum
import random
from array import array
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from queue import Queue
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult
from tasks import Net


class Meter:
    """The mean of what it is shown."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, value: float) -> float:
        self.sum, self.count = self.sum + value, self.count + 1
        return self.sum / self.count


class Keeping(DefaultTrainer):
    """Weighs each loss by what `keep` makes of it."""

    def __init__(self, parts: Any, **settings: Any) -> None:
        super().__init__(parts, **settings)
        torch.manual_seed(7)
        self.begin()

    def begin(self) -> None:
        """Make what is kept."""

    def keep(self, result: StepResult, batch: Any) -> Any:
        """A factor."""
        return 1.0

    def train_step(self, batch: Any) -> StepResult:
        result = super().train_step(batch)
        result.loss = result.loss * self.keep(result, batch)
        return result


class Meters(Keeping):
    """Objects in a dict and in a list."""

    def begin(self) -> None:
        self.meters = {"loss": Meter(), "all": [Meter()]}

    def keep(self, result: StepResult, batch: Any) -> Any:
        mean = self.meters["loss"].add(result.loss.item())
        return mean + self.meters["all"][0].add(mean)


class Following:
    """A moving average of a model in a plain object."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.updates = copy.deepcopy(model).eval(), 0

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        self.updates += 1
        for mine, its in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(its, 1 / (1 + self.updates))


class Teacher(Keeping):
    """A plain object with a network."""

    def begin(self) -> None:
        self.teacher = Following(self.model)

    def keep(self, result: StepResult, batch: Any) -> Any:
        with torch.no_grad():
            said = self.teacher.model(batch[0])
        self.teacher.follow(self.model)
        return 1 + F.mse_loss(result.output.detach(), said)


class Agent:
    """A network and its optimizer."""

    def __init__(self) -> None:
        self.net = nn.Linear(3, 3)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.05)


class Agents(Keeping):
    """Plain objects with networks and optimizers, in a list."""

    def begin(self) -> None:
        self.agents = [Agent()]

    def keep(self, result: StepResult, batch: Any) -> Any:
        agent = self.agents[0]
        agent.optimizer.zero_grad()
        F.cross_entropy(agent.net(result.output.detach()), batch[1]).backward()
        agent.optimizer.step()
        return 1 + agent.net.weight.detach().abs().mean()


class Carrying(Keeping):
    """Makes an update of every third batch; the gradients go on over the others."""

    def update(self, batch: Any) -> list[StepResult]:
        result = self.train_step(self.to_device(batch))
        (result.loss / 3).backward()
        if self.progress.step % 3 == 2:
            self.step_optimizer()
            self.optimizer.zero_grad()
        return [result]


class Settled(Keeping):
    """BatchNorm is as in an evaluation from the second batch of an epoch on."""

    def keep(self, result: StepResult, batch: Any) -> Any:
        if self.progress.batch == 1:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return 1.0


class Critic(Keeping):
    """A network of its own that is frozen, and put into evaluation, at a step."""

    def begin(self) -> None:
        self.critic = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        self.of_critic = torch.optim.SGD(self.critic.parameters(), lr=0.1, momentum=0.9)

    def keep(self, result: StepResult, batch: Any) -> Any:
        if self.progress.step == 6:
            self.critic[0].weight.requires_grad_(False)
            self.critic.eval()
        self.of_critic.zero_grad()
        loss = F.cross_entropy(self.critic(result.output.detach()), batch[1])
        loss.backward()
        self.of_critic.step()
        return 1 + loss.detach()


class Views(Keeping):
    """The weights by another name, pulled to zero."""

    def begin(self) -> None:
        self.views = [parameter.data for parameter in self.model.parameters()]

    def keep(self, result: StepResult, batch: Any) -> Any:
        for view in self.views:
            view.mul_(0.99)
        return 1.0


class Phase(enum.Enum):
    """Of a training."""

    WARM = "warm"
    MAIN = "main"


@dataclass(frozen=True)
class Frozen:
    """A new one is made for each change."""

    count: int = 0
    mean: float = 0.0


class Various(Keeping):
    """Namespaces, generators in tuples and deques, counters in dicts of dicts, NumPy's numbers as keys, members of an
    enumeration, frozen objects, trained numbers.
    """

    def begin(self) -> None:
        self.space = SimpleNamespace(count=0)
        self.draws = (random.Random(1), np.random.default_rng(2))
        self.queue = deque([random.Random(3)])
        self.seen: dict[str, Any] = {}
        self.classes: dict[Any, int] = {}
        self.known: set[Any] = set()
        self.phase, self.frozen = Phase.WARM, Frozen()
        self.alpha = torch.zeros(1, requires_grad=True)
        self.of_alpha = torch.optim.Adam([self.alpha], lr=0.1)

    def keep(self, result: StepResult, batch: Any) -> Any:
        self.space.count += 1
        counts = self.seen.setdefault("by class", defaultdict(int))
        for number in batch[1].numpy():
            counts[int(number), self.progress.step % 7] += 1
            self.classes[number] = self.classes.get(number, 0) + 1
            self.known.add(number)
        if self.progress.step == 6:
            self.phase = Phase.MAIN
        self.frozen = replace(
            self.frozen, count=self.frozen.count + 1, mean=0.9 * self.frozen.mean + result.loss.item()
        )
        self.of_alpha.zero_grad()
        (self.alpha * (result.loss.detach() - 0.5)).sum().backward()
        self.of_alpha.step()
        drawn = self.draws[0].random() + float(self.draws[1].random()) + self.queue[0].random()
        kept = self.space.count + max(counts.values()) + max(self.classes.values()) + len(self.known)
        return 1 + 0.1 * drawn + 0.01 * kept + (self.phase is Phase.MAIN) + self.frozen.mean + self.alpha.exp().item()


class Beside(Keeping):
    """A loader of torch's with a generator of its own, gone through in each step."""

    def begin(self) -> None:
        numbers = [float(number) for number in range(6)]
        self.beside = DataLoader(numbers, 3, shuffle=True, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]

    def keep(self, result: StepResult, batch: Any) -> Any:
        return 1 + sum(float(more[0]) for more in self.beside)


class Lost(Keeping):
    """What no checkpoint holds, each of its own kind."""

    def begin(self) -> None:
        self.numbers, self.waiting, self.seeds = array("d", [0.0]), Queue[float](), np.random.SeedSequence(5)
        self.first = True

    def keep(self, result: StepResult, batch: Any) -> Any:
        self.numbers[0] += 1
        self.waiting.put(1.0)
        self.seeds.spawn(1)
        if self.progress.step == 3:
            del self.first
        return 1.0


class Remembered(torch.optim.Optimizer):
    """Steps by the gradient before last, which it has in a deque for each parameter."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                held = self.state[parameter].setdefault("before", deque(maxlen=2))
                held.append(parameter.grad.clone())
                parameter.sub_(held[0], alpha=group["lr"])


class Several(torch.optim.SGD):
    """Optimizers in a list, by turns."""

    def __init__(self, params: Any, lr: float = 0.02) -> None:
        params = list(params)
        super().__init__(params, lr=lr)
        self.others = [torch.optim.Adam(params, lr=lr), torch.optim.SGD(params, lr=lr, momentum=0.9)]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for other in self.others:
            other.step()


class Large(Net):
    """A queue of more than 16 MiB that is in no state_dict, written to where torch does not count it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(1 << 22 | 64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        made = super().forward(images)
        if self.training:
            self.queue.data[: made.numel()] += made.detach().flatten()
        return made + 0.1 * self.queue[:64].mean()


class Growing:
    """A transform that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, image: Tensor) -> Tensor:
        self.count += 1
        return image * (1 + 0.01 * self.count)
