"""Real batches: their targets against the loss and the metrics, which tensors without memory let pass.

The outputs are zeros in the shape of the model's; so a target of the wrong type and a class out of range are found
without the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from assay.config.check import Checked
from assay.data.datasets.base import DatasetInfo
from assay.errors import AssayError, ConfigError, DataError, Problem
from assay.experiment.build import listed
from assay.experiment.findings import Findings
from assay.experiment.layers import first_line, shapes
from assay.experiment.rehearsal import Rehearsed
from assay.model.metrics.building import build_metrics
from assay.model.metrics.collection import MetricSet
from assay.trainer.batches import count_samples, split_batch, to_device
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult
from assay.utils.devices import dtype_of

__all__ = ["try_real_batch"]

# Of an output: a segmentation's is large, and is looked at in pieces.
_BYTES_AT_ONCE = 2**26


def try_real_batch(checked: Checked, info: DatasetInfo, batches: dict[str, Any], rehearsed: Rehearsed) -> None:
    """Hold the targets of real batches against the model's outputs, the loss and the metrics.

    Args:
        batches: of every split, that of train first.

    Raises:
        ConfigError: classes, types or shapes do not fit together, or the monitored value is not among the measured.
        DataError: a target is none of the dataset's classes.
    """
    if not rehearsed.results:
        return  # a trainer of the user's own: what it compares is not known
    findings = Findings(checked)
    for split, batch in batches.items():
        like = rehearsed.results[0] if split == "train" else rehearsed.evaluated[split]
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            return
        metrics = _try_targets(checked, info, batch[1], like, rehearsed, findings)
        if split == "train":
            _try_monitored(metrics, rehearsed.trainer.monitor.name, findings)


def _try_targets(
    checked: Checked, info: DatasetInfo, target: Any, like: StepResult, rehearsed: Rehearsed, findings: Findings
) -> list[MetricSet]:
    dtype = dtype_of(checked.config.host.precision)
    target = to_device(target, torch.device("cpu"), dtype, torch.contiguous_format)
    with findings.part():
        _fits_classes(checked, info, target, like, rehearsed)
    findings.tell()
    loss = None
    if isinstance(rehearsed.trainer, DefaultTrainer):
        loss = checked.components["loss",].build(num_classes=info.classes).to(dtype)
    metrics = [MetricSet([metric]) for metric in build_metrics(listed(checked, "metrics"), classes=info.classes)]
    for output, piece in _pieces(like, target):
        value = torch.zeros(())
        if loss is not None:
            with findings.part():
                value = _loss(loss, output, piece, rehearsed)
        for number, one in enumerate(metrics):
            with findings.part():
                _metric(one, StepResult(value, output, piece, count_samples(piece)), f"metrics.{number}")
        findings.tell()
    return metrics


def _try_monitored(metrics: list[MetricSet], monitor: str, findings: Findings) -> None:
    names = {"loss"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one batch of zeros is no measurement
        for one in metrics:
            with findings.part(), _bearing_the_batch():
                names |= set(one.scalars())
    with findings.part():
        _monitored(monitor, names)
    findings.tell()


@contextmanager
def _bearing_the_batch() -> Iterator[None]:
    """What a metric cannot compute from zeros it may well compute in the run."""
    try:
        yield
    except ConfigError:
        raise
    except Exception:
        return


def _monitored(monitor: str, names: set[str]) -> None:
    """A metric that gives several numbers is monitored by one of them."""
    name = monitor.partition("/")[2]
    parts = sorted(known for known in names if known.startswith(f"{name}/"))
    if name not in names and parts:
        near = f"{monitor.partition('/')[0]}/{parts[0]}"
        raise ConfigError.of(
            Problem(
                f"{name!r} is not one number",
                key="trainer.args.monitor",
                found=monitor,
                expected=", ".join(parts[:12]) + (", …" if len(parts) > 12 else ""),
                hint=f"one of them, such as {near!r}",
            )
        )


def _fits_classes(checked: Checked, info: DatasetInfo, target: Any, like: StepResult, rehearsed: Rehearsed) -> None:
    output = like.output
    if not isinstance(output, Tensor) or not isinstance(target, Tensor) or info.classes is None:
        return
    loss = checked.components["loss",].obj
    kinds = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
    one_class_each = isinstance(loss, kinds) or (isinstance(loss, type) and issubclass(loss, kinds))
    if not one_class_each or target.is_floating_point() or output.ndim != target.ndim + 1:
        return
    ignored = getattr(rehearsed.trainer.loss, "ignore_index", -100)
    wrong = target[((target < 0) | (target >= info.classes)) & (target != ignored)]
    if len(wrong):
        raise DataError(
            "a target is none of the dataset's classes",
            found=", ".join(str(value) for value in sorted(set(wrong.flatten().tolist()))[:8]),
            expected=f"0 to {info.classes - 1}, since the dataset says that it has {info.classes} classes",
            hint="classes are counted from 0",
        )
    if output.shape[1] != info.classes:
        raise ConfigError.of(
            Problem(
                "the model has not as many outputs as the data has classes",
                key="model",
                found=f"{output.shape[1]} outputs a sample, made by {rehearsed.maker}",
                expected=f"{info.classes}",
                hint="let the model take an argument num_classes: it is given that of the dataset",
            )
        )


def _loss(loss: nn.Module, output: Any, target: Any, rehearsed: Rehearsed) -> Tensor:
    try:
        value = loss(output, target)
    except (AssayError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError.of(
            Problem(
                "the loss cannot take the model's output and the dataset's targets",
                key="loss",
                found=f"output {shapes(output)} of {rehearsed.maker}; targets {shapes(target)}{_range(target)}: "
                f"{type(error).__name__}: {first_line(error)}",
                hint=_hint(error),
            )
        ) from error
    return value.detach() if isinstance(value, Tensor) and not value.ndim else torch.zeros(())


def _metric(metrics: MetricSet, step: StepResult, key: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metrics.update(step)
    except (AssayError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError.of(
            Problem(
                f"the metric {next(iter(metrics.metrics))!r} cannot take the model's output and the dataset's targets",
                key=key,
                found=f"output {shapes(step.output)}; targets {shapes(step.target)}{_range(step.target)}: "
                f"{type(error).__name__}: {first_line(error)}",
            )
        ) from error


def _pieces(first: StepResult, target: Any) -> Iterator[tuple[Any, Any]]:
    """Zeros for outputs and real targets, a part of the batch at a time."""
    bytes_each = sum(t.numel() * 4 for t in tree_leaves(first.output) if isinstance(t, Tensor)) / max(first.count, 1)
    size = max(1, int(_BYTES_AT_ONCE / max(bytes_each, 1)))
    for piece in split_batch(target, size):
        count = count_samples(piece)

        def zeros(like: Tensor, count: int = count) -> Tensor:
            kind = torch.float32 if like.is_floating_point() and like.dtype.itemsize < 4 else like.dtype
            shape = (count, *like.shape[1:]) if like.ndim and like.shape[0] == first.count else tuple(like.shape)
            return torch.zeros(shape, dtype=kind)

        yield tree_map_only(Tensor, zeros, first.output), piece


def _range(target: Any) -> str:
    if isinstance(target, Tensor) and target.numel() and not target.is_floating_point() and not target.is_complex():
        return f" from {target.min().item()} to {target.max().item()}"
    return ""


def _hint(error: Exception) -> str:
    text = str(error)
    if "out of bounds" in text:
        return "give the model as many outputs as there are classes, counted from 0"
    if "Long" in text or "scalar type" in text or "dtype" in text:
        return "class numbers are int64, and what a regression aims at is float32: convert the targets in the dataset"
    return "see the loss's documentation for the shapes that it compares"
