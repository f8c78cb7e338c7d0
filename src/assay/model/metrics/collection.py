"""All that is measured in one phase: the loss, the metrics and the values that steps give."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from assay.errors import CheckpointError, ConfigError, DataError, Problem
from assay.model.accumulators import accumulator_dtype, read_numbers
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.building import as_metric
from assay.model.metrics.merging import gathered, merged_states
from assay.model.metrics.reading import Reading, Step, detached, host_number, loss_part, require_number

__all__ = ["MetricSet", "Step"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%+-]*")


class MetricSet:
    """The loss and the metrics of one phase, exact for any cut into batches; no update waits for the device.

    Args:
        metrics: copied, so that several phases may be given the same ones.
        device: where the steps' tensors will be.
        loss_is_sum: the loss is a sum over samples (see `losses.weighting`): its mean per sample is recorded.
        reads: numbers are read at once and summed as numbers, which on a CPU is free and far cheaper than
            reckoning with them as tensors; elsewhere a read waits for the device. None: on a CPU.
        gather: gives what each of the processes that measure together has; all of them call it at the same moments.
            None: there is one process.

    Raises:
        ConfigError: two metrics have one name, or a name holds characters that a file's cannot.
    """

    def __init__(
        self,
        metrics: Iterable[Any] = (),
        device: torch.device | str = "cpu",
        *,
        loss_is_sum: bool = False,
        reads: bool | None = None,
        gather: Callable[[Any], list[Any]] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.loss_is_sum = loss_is_sum
        self.reads = self.device.type == "cpu" if reads is None else reads
        self.metrics: dict[str, BaseMetric] = {}
        for metric in (as_metric(copy.deepcopy(metric)) for metric in metrics):
            self._require_name(metric.name)
            if self.device.type == "mps":
                metric = metric.float()  # there is no float64
            self.metrics[metric.name] = metric.to(self.device)
        # What is nothing but a mean is summed here, beside the loss; the others keep their own sums.
        self._means = {name: metric for name, metric in self.metrics.items() if metric.is_mean}
        self._others = {name: metric for name, metric in self.metrics.items() if not metric.is_mean}
        self.gather = gather
        self._together = gather is not None and any(not metric.is_additive for metric in self._others.values())
        self.is_free = self.reads and not self._others and gather is None
        """Whether a window of one step has measured what its reading says, and need not be told of it."""
        self._known: set[str] = set()
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self._alone: Reading | None = None
        self._totals: dict[str, Tensor | float] = {}
        self._weights: dict[str, Tensor | float] = {}
        for metric in self._others.values():
            metric.reset()

    def update(self, step: Step) -> None:
        """Take in one batch; nothing of it, nor of its graph, is kept but sums."""
        self.add(self.read(step))

    @torch.no_grad()
    def read(self, step: Step) -> Reading:
        """What one batch adds to the sums: for `add`, here and in sets of the same metrics for other phases.

        Raises:
            ConfigError: the loss or a value is not one number, or a value has the name of a metric.
        """
        count, wide = step.count, accumulator_dtype(self.device)
        loss, weight = loss_part(step, wide, is_sum=self.loss_is_sum, host=self.reads)
        means: dict[str, Tensor | float] = {"loss": loss}
        for name, value in step.values.items():
            if name not in self._known:
                self._require_name(name)
                self._known.add(name)
            if self.reads:
                means[name] = host_number(name, value)
            else:
                means[name] = require_number(name, torch.as_tensor(value, dtype=wide, device=self.device))
        if not self.metrics:
            return Reading(count, means, weight)
        output, target = detached(step.output), detached(step.target)
        sums: dict[str, tuple[Tensor | float, int]] = {}
        for name, metric in self._means.items():
            total, number = metric.part(output, target, count)
            sums[name] = float(total.item()) if self.reads else total, number
        if not self._others:
            return Reading(count, means, weight, sums)
        return Reading(count, means, weight, sums, output, target)

    def add(self, reading: Reading) -> None:
        """Take in what `read` made of a batch, here or in another phase."""
        if not self.count and self.gather is None:
            self._alone = reading  # a window of one step is never summed
        else:
            self._sum_up()
            self._sum(reading)
        if self._others and (self._together or not reading.is_void):
            whole = gathered(reading, self.gather, self.device) if self._together and self.gather else reading
            with torch.no_grad():
                for metric in self._others.values():
                    seen = reading if metric.is_additive else whole
                    if not seen.is_void:
                        metric.observe(seen.output, seen.target, seen.count)
        self.count += reading.count

    def merged(self) -> MetricSet:
        """What all processes have measured together; all of them call it at the same moment."""
        if self.gather is None:
            return self
        whole = copy.copy(self)
        whole.metrics = {name: copy.deepcopy(metric) for name, metric in self.metrics.items()}
        whole._means = {name: whole.metrics[name] for name in self._means}
        whole._others = {name: whole.metrics[name] for name in self._others}
        whole.load_state_dict(merged_states(self.gather(self.state_dict()), self.metrics))
        for name, metric in self._others.items():
            if not metric.is_additive:  # it has seen everything, and what it keeps may be in no state
                whole.metrics[name] = whole._others[name] = metric
        return whole

    def scalars(self) -> dict[str, Tensor | float]:
        """Every number by name; tensors are of shape () on the device: nothing has waited for them yet.

        A metric that gives several has names such as `f1/3` (by class) or `name/key`.

        Raises:
            DataError: no sample was seen.
            ConfigError: a metric gives something that is neither a number, a vector, a matrix nor a mapping
                of them.
        """
        self._require_samples()
        weights = self._weights
        if self._alone is not None:
            means = self._alone.scalars()
        elif self.reads:
            means = {name: total / (weights[name] or math.nan) for name, total in self._totals.items()}
        else:  # a weight on the device is not asked whether it is 0: the division gives the same
            means = {name: _over(total, weights[name]) for name, total in self._totals.items()}
        if not self._others:
            return means
        scalars = {name: mean for name, mean in means.items() if name not in self.metrics}
        for name, metric in self.metrics.items():
            if name in means:
                scalars[name] = means[name]
                continue
            for full_name, value in _flat(name, metric.compute()):
                if not isinstance(value, Tensor) or value.ndim == 0:
                    scalars[full_name] = value
        return scalars

    def compute(self) -> dict[str, float]:
        """`scalars()` as Python numbers, in one transfer."""
        return read_numbers(self.scalars())

    def matrices(self) -> dict[str, Tensor]:
        """The metrics that are matrices (a confusion matrix), on the host."""
        self._require_samples()
        found = (_flat(name, metric.compute()) for name, metric in self._others.items())
        return {
            name: value.cpu()
            for values in found
            for name, value in values
            if isinstance(value, Tensor) and value.ndim == 2
        }

    def media(self) -> dict[str, Any]:
        """What the metrics show beside their numbers, by `metric/name`."""
        return {
            f"{name}/{key}": shown for name, metric in self.metrics.items() for key, shown in metric.media().items()
        }

    def measurements(self) -> dict[str, dict[str, str | None]]:
        """Of every name: its `unit`, `what` it measures, and what is `better`: lower, higher or None.

        A metric that gives several numbers stands here once; what is said of `name` holds for every
        `name/key`.
        """
        about: dict[str, dict[str, str | None]] = {
            "loss": {"unit": "1", "what": "the loss, mean per sample", "better": "lower"}
        }
        for name in self._value_names():
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
        self._sum_up()
        for name, metric in self._means.items():
            if name in self._totals:
                metric.hold(self._totals[name], self._weights[name])
            else:
                metric.reset()
        return {
            "count": self.count,
            "loss": self._sums("loss"),
            "values": {name: self._sums(name) for name in self._value_names()},
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
        for name, metric in self.metrics.items():
            metric.load_state_dict(state["metrics"][name])
        self.count = int(state["count"])
        if not self.count:
            return
        held = {"loss": state["loss"], **state["values"]}
        held |= {name: {"total": metric.total, "weight": metric.count} for name, metric in self._means.items()}
        for name, sums in held.items():
            self._totals[name] = self._held(sums["total"])
            weight = sums["weight"]
            self._weights[name] = self._held(weight) if isinstance(weight, Tensor) else weight

    def load_part(self, states: Sequence[Mapping[str, Any]], rank: int, size: int) -> None:
        """Take up the sums that several processes had: each its own, or where they were another number the first all.

        Raises:
            CheckpointError: the states are those of other metrics.
        """
        if len(states) == size:
            self.load_state_dict(states[rank])
            return
        self.load_state_dict(merged_states(states, self.metrics))
        if rank:
            seen = {name: metric.state_dict() for name, metric in self._others.items() if not metric.is_additive}
            self.reset()
            for name, state in seen.items():
                self.metrics[name].load_state_dict(state)

    def _sum_up(self) -> None:
        if self._alone is not None:
            alone, self._alone = self._alone, None
            self._sum(alone)

    def _sum(self, reading: Reading) -> None:
        totals, weights = self._totals, self._weights
        for name, total, weight in reading.parts():
            if name in totals:
                totals[name] = totals[name] + total
                weights[name] = weights[name] + weight
            else:
                totals[name], weights[name] = total, weight

    def _sums(self, name: str) -> dict[str, Tensor | float]:
        return {"total": self._totals.get(name, 0.0), "weight": self._weights.get(name, 0.0)}

    def _held(self, saved: Tensor | float) -> Tensor | float:
        """A sum where this set keeps its own: as a number, or as a tensor on the device."""
        if self.reads:
            return float(saved)
        return torch.as_tensor(saved, dtype=accumulator_dtype(self.device), device=self.device).clone()

    def _value_names(self) -> list[str]:
        self._sum_up()
        return [name for name in self._totals if name != "loss" and name not in self.metrics]

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


def _over(total: Tensor | float, weight: Tensor | float) -> Tensor | float:
    return total / weight if isinstance(weight, Tensor) or weight else total * math.nan


def _flat(name: str, result: Any) -> Iterator[tuple[str, Tensor | float]]:
    """The numbers and matrices in a metric's result, each with its full name."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flat(f"{name}/{re.sub(r'[^A-Za-z0-9_.@%+-]', '_', str(key))}", value)
    elif isinstance(result, (int, float)):
        yield name, float(result)
    elif isinstance(result, Tensor) and result.numel() == 1:
        yield name, result.reshape(())
    elif isinstance(result, Tensor) and result.ndim == 1:
        for index, value in enumerate(result.tolist() if result.is_cpu else result):
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
