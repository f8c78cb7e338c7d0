"""What several processes measured of one phase as one: sums are added up, and what is no sum is shown everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from assay.model.metrics.base import BaseMetric
from assay.model.metrics.reading import Reading

__all__ = ["gathered", "merged_states"]


def merged_states(states: Sequence[Mapping[str, Any]], metrics: Mapping[str, BaseMetric]) -> dict[str, Any]:
    """The state of a `MetricSet` from those of all processes, by rank."""
    if len(states) == 1:
        return dict(states[0])
    values = sorted({name for state in states for name in state["values"]})
    return {
        "count": sum(state["count"] for state in states),
        "loss": _sum(state["loss"] for state in states),
        "values": {name: _sum(state["values"].get(name, _NOTHING) for state in states) for name in values},
        "metrics": {name: _merged(metric, [s["metrics"][name] for s in states]) for name, metric in metrics.items()},
    }


def gathered(reading: Reading, gather: Callable[[Any], list[Any]], device: torch.device) -> Reading:
    """The outputs and targets of all processes, in the order of the samples: a batch as one process would have it."""
    own = None if reading.is_void else (_moved(reading.output, "cpu"), _moved(reading.target, "cpu"), reading.count)
    parts = [part for part in gather(own) if part is not None]
    outputs, targets, counts = zip(*parts, strict=True)
    count = sum(counts)
    return replace(
        reading, count=count, output=_joined(outputs, device), target=_joined(targets, device), is_void=False
    )


_NOTHING = {"total": 0.0, "weight": 0.0}


def _sum(sums: Any) -> dict[str, Any]:
    total: dict[str, Any] = dict(_NOTHING)
    for held in sums:
        total = {name: total[name] + held[name] for name in total}
    return total


def _merged(metric: BaseMetric, states: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    # What is no sum has seen everything in every process.
    return metric.merged(states) if metric.is_additive or metric.is_mean else states[0]


def _moved(nested: Any, device: torch.device | str) -> Any:
    if isinstance(nested, Tensor):
        return nested.to(device)
    if isinstance(nested, Mapping):
        return {name: _moved(value, device) for name, value in nested.items()}
    if isinstance(nested, tuple) and hasattr(nested, "_fields"):
        return type(nested)(*(_moved(value, device) for value in nested))
    if isinstance(nested, (list, tuple)):
        return type(nested)(_moved(value, device) for value in nested)
    return nested


def _joined(parts: Sequence[Any], device: torch.device) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part if part.ndim else part.reshape(1) for part in parts]).to(device)
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts], device) for name in first}
    if isinstance(first, (list, tuple)):
        joined = [_joined(values, device) for values in zip(*parts, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)
    return first
