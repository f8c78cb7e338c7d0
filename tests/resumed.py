"""Models, losses, metrics, optimizers and trainers with all kinds of state, as users write them."""

from __future__ import annotations

import random
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from assay.data.loaders.base import BaseLoader
from assay.model.metrics.base import BaseMetric
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult
from tasks import Net


class CountingNet(Net):
    """A counter in a plain attribute decides what the model does."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.scales = deque([1.0], maxlen=5)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            self.scales.append(1.0 + 0.1 * (self.steps % 3))
        return super().forward(images) * sum(self.scales)


class PassingNet(Net):
    """A buffer that torch does not save, one that is not there at first, and one that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3), persistent=False)
        self.register_buffer("center", None)
        self.register_buffer("bank", torch.zeros(0, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.training:
            with torch.no_grad():
                self.seen.data.add_(logits.mean(0))
                self.center = logits.mean(0) if self.center is None else 0.9 * self.center + 0.1 * logits.mean(0)
                self.bank = torch.cat([self.bank, logits.mean(0, keepdim=True)])[-8:]
                if not hasattr(self, "late"):
                    self.register_buffer("late", torch.zeros(3))
                self.late += logits.std()
        offset = self.seen + self.late + self.center + self.bank.mean(0) if hasattr(self, "late") else 0.0
        return logits + 0.01 * offset


class OwnDraws(Net):
    """Draws from generators of its own, and from those of python and NumPy, in training and when it is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)
        self.of_numpy = np.random.default_rng(2)
        self.older = np.random.RandomState(3)
        self.of_python = random.Random(4)

    def forward(self, images: Tensor) -> Tensor:
        drawn = torch.rand(1, generator=self.generator).item() + self.of_numpy.random() + self.older.rand()
        drawn += self.of_python.random() + random.random() + np.random.rand() + torch.rand(1).item()
        return super().forward(images + 0.1 * drawn)


class Remembering(Net):
    """Says what it holds by get_extra_state, with numbers, arrays and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.history = {"loss": [], "counts": Counter(), "mean": np.zeros(2), "name": "a"}

    def get_extra_state(self) -> Any:
        return self.history

    def set_extra_state(self, state: Any) -> None:
        self.history = state

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.history["loss"].append(float(images.mean()))
            self.history["counts"][len(images)] += 1
            self.history["mean"] = self.history["mean"] * 0.9 + np.array([images.min(), images.max()])
        return super().forward(images) * (1.0 + 0.01 * len(self.history["loss"])) + float(self.history["mean"][0])


class Normed(nn.Module):
    """Spectral and weight normalisation, the old ones and the new ones, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.spectral_norm(nn.Linear(64, 16))
        self.second = parametrizations.weight_norm(nn.Linear(16, 16))
        self.third = nn.Linear(16, 16)
        self.fourth = nn.Linear(16, 16)
        self.fourth.weight = self.third.weight
        self.old = nn.utils.spectral_norm(nn.Linear(16, 3))

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.second(torch.relu(self.first(images.flatten(1)))))
        return self.old(torch.relu(self.fourth(torch.relu(self.third(hidden)))))


class Rows(nn.Module):
    """An LSTM over the rows whose hidden state goes on from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, num_layers=2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(6, 3)
        self.hidden: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        count = len(images)
        before = None
        if self.hidden is not None and self.training:
            before = tuple(part[:, :1].expand(-1, count, -1).contiguous() for part in self.hidden)
        output, state = self.lstm(images.squeeze(1), before)
        if self.training:
            self.hidden = tuple(part.detach() for part in state)
        return self.head(output[:, -1])


class Lazy(nn.Module):
    """Layers that take their shapes from the first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


class Part(Net):
    """Half of it is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.body[0].requires_grad_(False)


class Sparse(nn.Module):
    """An embedding with sparse gradients, and nothing else that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 3, sparse=True)

    def forward(self, images: Tensor) -> Tensor:
        levels = (images.flatten(1).clamp(0, 1.99) * 8).long().clamp(0, 15)
        return self.table(levels).mean(1)


class CenterLoss(nn.Module):
    """Holds running means of the outputs, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(3))
        self.calls = 0

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            self.calls += 1
            with torch.no_grad():
                self.centers.lerp_(output.mean(0), 0.1)
        far = (output - self.centers).square().mean()
        return nn.functional.cross_entropy(output, target) + 0.01 * far * (1 + self.calls % 2)


class Streak(BaseMetric):
    """Python attributes that go on over batches, and one that goes on over validations."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: list[bool] = []
        self.resets = 0
        self.register_buffer("ever", torch.zeros(()))

    def update(self, output: Tensor, target: Tensor) -> None:
        self.hits += (output.argmax(1) == target).tolist()
        self.ever.copy_(torch.maximum(self.ever, output.max()))

    def compute(self) -> dict[str, Tensor]:
        return {"share": torch.tensor(float(np.mean(self.hits))), "resets": torch.tensor(float(self.resets)),
                "ever": self.ever.clone()}  # fmt: skip

    def reset(self) -> None:
        self.hits = []
        self.resets += 1


class Backwards(BaseLoader):
    """An order of its own."""

    def order(self, epoch: int) -> Any:
        return super().order(epoch)[::-1].copy()


class History:
    """An object of the user's without a state_dict."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.best = float("inf")


class Own(DefaultTrainer):
    """Keeps numbers, deques, dicts of tensors, generators and an object, and steps by what they say."""

    def __init__(self, parts: Any, **settings: Any) -> None:
        super().__init__(parts, **settings)
        self.recent: deque[float] = deque(maxlen=4)
        self.sums = {"loss": torch.zeros(()), "count": 0}
        self.numbers = np.random.default_rng(0)
        self.history = History()
        self.factor = 1.0

    def train_step(self, batch: Any) -> StepResult:
        result = super().train_step(batch)
        self.recent.append(result.loss.item())
        self.sums["loss"] = self.sums["loss"] + result.loss.detach()
        self.sums["count"] += 1
        self.history.losses.append(self.recent[-1])
        self.history.best = min(self.history.best, self.recent[-1])
        self.factor = 0.9 + 0.1 * float(self.numbers.random()) + 0.01 * len(self.history.losses)
        self.attach("notes/recent", f"{list(self.recent)} {self.sums}")
        weight = self.factor * (1 + 0.1 * sum(self.recent) / len(self.recent)) + 0.01 * self.history.best
        result.values["factor"] = torch.tensor(self.factor)
        result.loss = result.loss * weight + random.random() * 0.01 + np.random.rand() * 0.01
        return result


class Freezing(DefaultTrainer):
    """Freezes the first layer at a step that is before the kills."""

    def train_step(self, batch: Any) -> StepResult:
        if self.progress.step == 4:
            next(self.model.parameters()).requires_grad_(False)
        return super().train_step(batch)


class Adversarial(DefaultTrainer):
    """Two networks and two optimizers, one of them in a dict, with a scheduler of torch's."""

    def __init__(self, parts: Any, **settings: Any) -> None:
        super().__init__(parts, **settings)
        torch.manual_seed(0)
        self.judge = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.optimizers = {"judge": torch.optim.Adam(self.judge.parameters(), lr=0.01)}
        self.rates = [torch.optim.lr_scheduler.ExponentialLR(self.optimizers["judge"], 0.95)]

    def update(self, batch: Any) -> list[StepResult]:
        logits = self.model(self.to_device(batch)[0])
        noise = torch.randn_like(logits)
        real, made = self.judge(noise), self.judge(logits.detach())
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(made).mean()
        self.optimizers["judge"].zero_grad()
        loss.backward()
        self.optimizers["judge"].step()
        self.rates[0].step()
        self.optimizer.zero_grad()
        result = self.train_step(self.to_device(batch))
        fooled = nn.functional.softplus(-self.judge(self.model(self.to_device(batch)[0]))).mean()
        (result.loss + fooled).backward()
        self.step_optimizer()
        return [result]


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation, as it is commonly written: with another optimizer inside."""

    def __init__(self, params: Any, lr: float = 0.05, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})
        self.base_optimizer = torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)
        self.param_groups = self.base_optimizer.param_groups
        self.turns = 0

    @torch.no_grad()
    def first_step(self) -> None:
        for parameter in self._with_gradient():
            self.state[parameter]["old"] = parameter.clone()
            parameter.add_(parameter.grad, alpha=self.param_groups[0]["rho"] / (1 + 0.1 * self.turns))

    @torch.no_grad()
    def second_step(self) -> None:
        for parameter in self._with_gradient():
            parameter.copy_(self.state[parameter]["old"])
        self.base_optimizer.step()
        self.turns += 1

    def step(self, closure: Any = None) -> None:
        self.base_optimizer.step()

    def _with_gradient(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"] if p.grad is not None)


class Sharp(DefaultTrainer):
    """Two passes for each update."""

    def update(self, batch: Any) -> list[StepResult]:
        batch = self.to_device(batch)
        for step in (self.optimizer.first_step, self.optimizer.second_step):
            self.optimizer.zero_grad()
            result = self.train_step(batch)
            result.loss.backward()
            step()
        return [result]


class Overflowing(DefaultTrainer):
    """A loss that overflows in float16 now and then, so that the scaler skips the step."""

    def train_step(self, batch: Any) -> StepResult:
        result = super().train_step(batch)
        if self.progress.step % 4 == 1:
            result.loss = result.loss * float("inf")
        return result

    def check_finite(self, result: StepResult) -> None:
        """It is the scaler's to see."""


class Hidden(Net):
    """Its state is in an object that a checkpoint cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = array("d", [0.0])

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.hidden[0] += 1
        return super().forward(images) * (1 + 0.1 * self.hidden[0])


class Saying(Net):
    """Its extra state is an object of the user's."""

    def get_extra_state(self) -> Any:
        return History()

    def set_extra_state(self, state: Any) -> None:
        """Never called."""
