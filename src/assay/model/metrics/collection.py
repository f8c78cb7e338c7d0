"""All that is measured in one phase: the loss, the metrics and the values that steps give."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from assay.errors import CheckpointError, ConfigError, DataError, Problem
from assay.model.accumulators import WeightedMean, accumulator_dtype
from assay.model.losses.weighting import loss_total
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.building import as_metric

__all__ = ["MetricSet", "Step"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%+-]*")


class Step(Protocol):
    """What one pass over a batch gives (the trainer's `StepResult`); everything may be on the device.

    `weight` is what `loss` is a mean over (None: `count`); `values` are further means over the `count`
    samples.
    """

    loss: Tensor
    output: Any
    target: Any
    count: int
    weight: float | Tensor | None
    values: dict[str, Tensor]


class MetricSet:
    """The loss and the metrics of one phase, exact for any cut into batches; no update waits for the device.

    Args:
        metrics: copied, so that several phases may be given the same ones.
        device: where the steps' tensors will be.
        loss_is_sum: the loss is a sum over samples (see `losses.weighting`): its mean per sample is recorded.

    Raises:
        ConfigError: two metrics have one name, or a name holds characters that a file's cannot.
    """

    def __init__(
        self, metrics: Iterable[Any] = (), device: torch.device | str = "cpu", *, loss_is_sum: bool = False
    ) -> None:
        self.device = torch.device(device)
        self.loss_is_sum = loss_is_sum
        self.metrics: dict[str, BaseMetric] = {}
        for metric in (as_metric(copy.deepcopy(metric)) for metric in metrics):
            self._require_name(metric.name)
            if self.device.type == "mps":
                metric = metric.float()  # there is no float64
            self.metrics[metric.name] = metric.to(self.device)
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self._loss = WeightedMean.zero(self.device)
        self._values: dict[str, WeightedMean] = {}
        for metric in self.metrics.values():
            metric.reset()

    @torch.no_grad()
    def update(self, step: Step) -> None:
        """Take in one batch; nothing of it, nor of its graph, is kept but sums."""
        wide = accumulator_dtype(self.device)
        loss, weight = step.loss.to(wide), step.count if step.weight is None else step.weight
        if self.loss_is_sum:
            self._loss.add(loss_total(loss, 1.0), step.count)
        else:
            self._loss.add(loss_total(loss, weight), weight)
        for name, value in step.values.items():
            if name not in self._values:
                self._require_name(name)
                self._values[name] = WeightedMean.zero(self.device)
            self._values[name].add(torch.as_tensor(value).to(self.device, wide) * step.count, step.count)
        output, target = _detached(step.output), _detached(step.target)
        for metric in self.metrics.values():
            metric.observe(output, target, step.count)
        self.count += step.count

    def scalars(self) -> dict[str, Tensor]:
        """Every number by name, each of shape () on the device: nothing has waited for it yet.

        A metric that gives several has names such as `f1/3` (by class) or `name/key`.

        Raises:
            DataError: no sample was seen.
            ConfigError: a metric gives something that is neither a number, a vector, a matrix nor a mapping
                of them.
        """
        self._require_samples()
        scalars = {"loss": self._loss.mean}
        scalars |= {name: value.mean for name, value in self._values.items()}
        for name, metric in self.metrics.items():
            for full_name, value in _flat(name, metric.compute()):
                if value.ndim == 0:
                    scalars[full_name] = value
        return scalars

    def compute(self) -> dict[str, float]:
        """`scalars()` as Python numbers, in one transfer."""
        scalars = self.scalars()
        wide = accumulator_dtype(self.device)
        numbers = torch.stack([value.to(self.device, wide) for value in scalars.values()]).tolist()
        return dict(zip(scalars, numbers, strict=True))

    def matrices(self) -> dict[str, Tensor]:
        """The metrics that are matrices (a confusion matrix), on the host."""
        self._require_samples()
        found = (_flat(name, metric.compute()) for name, metric in self.metrics.items())
        return {name: value.cpu() for values in found for name, value in values if value.ndim == 2}

    def measurements(self) -> dict[str, dict[str, str | None]]:
        """Of every name: its `unit`, `what` it measures, and what is `better`: lower, higher or None.

        A metric that gives several numbers stands here once; what is said of `name` holds for every
        `name/key`.
        """
        about: dict[str, dict[str, str | None]] = {
            "loss": {"unit": "1", "what": "the loss, mean per sample", "better": "lower"}
        }
        for name in self._values:
            about[name] = {
                "unit": "1",
                "what": "a value of the training step, mean per sample",
                "better": None,
            }
        for name, metric in self.metrics.items():
            better = {True: "higher", False: "lower", None: None}[metric.higher_is_better]
            about[name] = {"unit": metric.unit, "what": metric.what, "better": better}
        return about

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain types; the metrics' tensors are those in use, as with a module."""
        return {
            "count": self.count,
            "loss": self._loss.state_dict(),
            "values": {name: value.state_dict() for name, value in self._values.items()},
            "metrics": {name: metric.state_dict() for name, metric in self.metrics.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Raises:
            CheckpointError: the state is that of other metrics.
        """
        if set(state["metrics"]) != set(self.metrics):
            raise CheckpointError(
                "the checkpoint holds the sums of other metrics",
                found=", ".join(sorted(state["metrics"])) or "none",
                expected=", ".join(sorted(self.metrics)) or "none",
                hint="resume with the metrics of the run",
            )
        self.reset()
        self.count = int(state["count"])
        self._loss.load_state_dict(state["loss"])
        for name, value in state["values"].items():
            self._values[name] = WeightedMean.zero(self.device)
            self._values[name].load_state_dict(value)
        for name, metric in self.metrics.items():
            metric.load_state_dict(state["metrics"][name])

    def _require_name(self, name: str) -> None:
        if name == "loss" or name in self.metrics:
            raise ConfigError.of(
                Problem(
                    f"two measurements are named {name!r}",
                    key="metrics",
                    hint="list each metric once, or give one of them another `name` in its args",
                )
            )
        if not _NAME.fullmatch(name):
            raise ConfigError.of(
                Problem(
                    f"a metric cannot be named {name!r}",
                    key="metrics",
                    expected="letters, digits and _ . @ % + -",
                )
            )

    def _require_samples(self) -> None:
        if not self.count:
            raise DataError("there were no samples to measure", hint="is the split empty?")


def _detached(nested: Any) -> Any:
    if isinstance(nested, Tensor):
        return nested.detach()
    if isinstance(nested, Mapping):
        return {name: _detached(value) for name, value in nested.items()}
    if isinstance(nested, tuple) and hasattr(nested, "_fields"):
        return type(nested)(*(_detached(value) for value in nested))
    if isinstance(nested, (list, tuple)):
        return type(nested)(_detached(value) for value in nested)
    return nested


def _flat(name: str, result: Any) -> Iterator[tuple[str, Tensor]]:
    """The numbers and matrices in a metric's result, each with its full name."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flat(f"{name}/{re.sub(r'[^A-Za-z0-9_.@%+-]', '_', str(key))}", value)
    elif isinstance(result, (int, float)):
        yield name, torch.tensor(float(result))
    elif isinstance(result, Tensor) and result.numel() == 1:
        yield name, result.reshape(())
    elif isinstance(result, Tensor) and result.ndim == 1:
        for index, value in enumerate(result):
            yield f"{name}/{index}", value
    elif isinstance(result, Tensor) and result.ndim == 2:
        yield name, result
    else:
        what = (
            f"a tensor of shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
        )
        raise ConfigError.of(
            Problem(
                f"the metric {name!r} gives something that cannot be recorded",
                key="metrics",
                found=what,
                expected="a number, a vector, a matrix, or these by name",
            )
        )
