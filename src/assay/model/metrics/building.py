"""From what a configuration names to metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError, Problem
from assay.model.metrics.base import BaseMetric

if TYPE_CHECKING:
    from assay.config.binding import Bound

__all__ = ["as_metric", "build_metrics"]


def build_metrics(bounds: Sequence[Bound], *, classes: int | None) -> list[BaseMetric]:
    """The metrics; where their signatures ask, they are told `num_classes` and the `task`, multiclass.

    Raises:
        ConfigError: a constructor refuses its arguments, or `num_classes` is not that of the dataset.
    """
    metrics = []
    for bound in bounds:
        given = bound.args.get("num_classes", classes)
        if classes is not None and given not in (classes, None):
            raise ConfigError.of(
                Problem(
                    "the metric and the dataset have different numbers of classes",
                    bound.place,
                    f"{bound.key}.args.num_classes",
                    found=str(given),
                    expected=str(classes),
                    hint="leave it out: it is taken from the dataset",
                )
            )
        runtime: dict[str, Any] = {} if classes is None else {"num_classes": classes, "task": "multiclass"}
        metrics.append(as_metric(bound.build(**runtime), bound.name))
    return metrics


def as_metric(metric: Any, name: str = "") -> BaseMetric:
    """A `BaseMetric` as it is; one of torchmetrics in assay's contract, recorded under its class's name.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(metric, BaseMetric):
        return metric
    # torchmetrics takes more than a second to import: only who uses it pays for it.
    import torchmetrics

    from assay.model.metrics.torch_metric import TorchMetric, recorded_name

    if isinstance(metric, torchmetrics.Metric):
        return TorchMetric(metric, recorded_name(name, metric))
    raise ConfigError.of(
        Problem(
            f"{name or type(metric).__name__!r} is not a metric",
            key="metrics",
            found=type(metric).__name__,
            expected="a BaseMetric or a torchmetrics.Metric",
        )
    )
