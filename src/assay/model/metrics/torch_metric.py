"""torchmetrics behind the contract of `BaseMetric`; the only file that imports it."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat, dim_zero_max, dim_zero_min, dim_zero_sum

from assay.errors import ConfigError, Problem
from assay.model.metrics.base import BaseMetric
from assay.model.metrics.names import snake_case

__all__ = ["TorchMetric", "recorded_name"]


def _never() -> bool:
    return False


class TorchMetric(BaseMetric):
    """Any `torchmetrics.Metric`. Its states are saved; the inputs are checked on the first batch only.

    (torchmetrics keeps its states out of `state_dict()` unless asked, and its checks wait for the device
    every time.)

    Args:
        metric: the metric.
        name: what it is recorded as; default: its class's name in snake_case.

    Raises:
        ConfigError: the metric gives a curve.
    """

    def __init__(self, metric: torchmetrics.Metric, name: str | None = None) -> None:
        super().__init__(name or snake_case(type(metric).__name__))
        if _gives_tuples(metric):
            raise ConfigError.of(
                Problem(
                    f"the metric {self.name!r} gives a curve, which is no number to record",
                    key="metrics",
                    found=type(metric).__name__,
                    hint="use the area under it: AUROC, AveragePrecision",
                )
            )
        self.metric = metric
        self.higher_is_better = metric.higher_is_better
        for part in self._parts():
            part.persistent(True)
            # What several processes saw is put together by `merged`, at moments that all of them know.
            part.sync_on_compute = part.dist_sync_on_step = False
            part.distributed_available_fn = _never  # the flag above is read when a metric is made
        # torch has no annotations on this one.
        self.register_load_state_dict_post_hook(TorchMetric._to_own_device)  # type: ignore[no-untyped-call]

    @property
    def what(self) -> str:
        return f"{type(self.metric).__name__} of torchmetrics"

    def update(self, output: Any, target: Any) -> None:
        if _is_soft(target, output) and getattr(self.metric, "num_classes", None):
            target = target.argmax(dim=1)
        self.metric.update(output, target)
        if not self._seen:
            for part in self._parts():
                if hasattr(part, "validate_args"):
                    part.validate_args = False

    def compute(self) -> Tensor | Mapping[str, Tensor]:
        value: Tensor | Mapping[str, Tensor] = self.metric.compute()
        return value

    def reset(self) -> None:
        self.metric.reset()

    @property
    def is_additive(self) -> bool:
        """Whether all its states are sums, extremes or lists; wrappers of metrics, and others, are not."""
        states = self.metric._reductions
        return len(self._parts()) == 1 and bool(states) and all(how in _MERGES for how in states.values())

    def merged(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for name in sorted({name for state in states for name in state}):
            held = [state[name] for state in states if name in state]
            if name.endswith("_extra_state"):
                counts = zip(*(extra["updates"] for extra in held), strict=True)
                whole[name] = {"seen": any(extra["seen"] for extra in held), "updates": [sum(n) for n in counts]}
            elif any(isinstance(value, list) for value in held):
                whole[name] = [part for value in held for part in value]
            else:
                whole[name] = _MERGES[self.metric._reductions[name.removeprefix("metric.")]](torch.stack(held))
        return whole

    def get_extra_state(self) -> Any:
        return {"seen": self._seen, "updates": [part._update_count for part in self._parts()]}

    def set_extra_state(self, state: Any) -> None:
        """This comes before the states themselves: what was computed of others is forgotten first."""
        self.metric.reset()
        self._seen = bool(state["seen"])
        for part, updates in zip(self._parts(), state["updates"], strict=True):
            part._update_count = updates

    def _to_own_device(self, *loaded: Any) -> None:
        """States that are lists come as they were saved, wherever that was."""
        for part in self._parts():
            part.to(part.device)

    def _parts(self) -> list[torchmetrics.Metric]:
        """The metric and, in a wrapper, those inside."""
        return [part for part in self.metric.modules() if isinstance(part, torchmetrics.Metric)]


def _joined(values: Tensor) -> Tensor:
    return values.flatten(0, 1)


_MERGES: Mapping[Any, Callable[[Tensor], Tensor]] = {
    dim_zero_sum: lambda values: values.sum(0),
    dim_zero_max: lambda values: values.amax(0),
    dim_zero_min: lambda values: values.amin(0),
    dim_zero_cat: _joined,
}


def recorded_name(configured: str, metric: torchmetrics.Metric) -> str:
    """What the configuration calls it, in snake_case: `F1Score` makes a MulticlassF1Score, and is
    f1_score.
    """
    return snake_case(configured.replace(":", ".").rpartition(".")[2] or type(metric).__name__)


def _gives_tuples(metric: torchmetrics.Metric) -> bool:
    """Whether all that its `compute` says it returns are tuples."""
    result = typing.get_type_hints(type(metric).compute).get("return")
    is_union = typing.get_origin(result) in (typing.Union, types.UnionType)
    kinds = typing.get_args(result) if is_union else (result,)
    return all(kind is tuple or typing.get_origin(kind) is tuple for kind in kinds)


def _is_soft(target: Any, output: Any) -> bool:
    both = isinstance(target, Tensor) and isinstance(output, Tensor)
    return both and target.shape == output.shape and target.is_floating_point() and target.ndim > 1
