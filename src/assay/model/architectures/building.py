"""From what a configuration names to a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from assay.errors import ConfigError, Problem

if TYPE_CHECKING:
    from assay.config.binding import Bound

__all__ = ["Facts", "build_model"]


class Facts(Protocol):
    """What a model is told of the data (a `DatasetInfo`).

    `shape` is that of one sample as the model gets it, (C, H, W) for pictures; `classes` is None where there
    are none (regression): `num_classes` then is the configuration's to give.
    """

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def classes(self) -> int | None: ...


def build_model(bound: Bound, info: Facts) -> nn.Module:
    """The model; where its signature asks, it is told `num_classes`, `in_channels` and `input_shape`.

    Weights are downloaded only where the arguments ask for them (torchvision's `weights`).

    Raises:
        ConfigError: the arguments contradict the dataset, the constructor refuses them, or what it makes is
            no module.
    """
    runtime = _runtime(info.shape, info.classes)
    problems = [
        Problem(
            f"{argument} is not that of the dataset",
            bound.place,
            f"{bound.key or 'model'}.args.{argument}",
            found=f"{bound.args[argument]}{_layer_of(bound, argument, runtime)}",
            expected=str(fact),
            hint="leave it out: it is taken from the dataset",
        )
        for argument, fact in runtime.items()
        if argument in bound.args and _plain(bound.args[argument]) != _plain(fact)
    ]
    asked = bound.parameters.known.get("num_classes")
    if info.classes is None and asked is not None and asked.required and "num_classes" not in bound.args:
        message = f"{bound.name!r} needs the number of classes, and the dataset does not tell it"
        key = bound.key or "model"
        hint = f"give {key}.args.num_classes; a dataset tells it by `classes` or `num_classes`"
        problems.append(Problem(message, bound.place, key, hint=hint))
    if problems:
        raise ConfigError(problems)
    if _is_torchvisions(bound) and not bound.args.get("weights"):
        # GoogLeNet and Inception warn that the default of init_weights will change; this is the default of
        # today.
        runtime["init_weights"] = True
        if len(info.shape) == 3 and info.shape[1] == info.shape[2]:
            runtime["image_size"] = info.shape[1]  # a ViT is made for one size; its default is that of ImageNet
    model = bound.build(**runtime)
    if not isinstance(model, nn.Module):
        raise ConfigError.of(
            Problem(
                f"{bound.name!r} did not make a model",
                bound.place,
                bound.key or "model",
                found=f"a {type(model).__name__}",
                expected="a torch.nn.Module",
            )
        )
    return model


def _layer_of(bound: Bound, argument: str, runtime: dict[str, Any]) -> str:
    """Which layer has this number: the first of them for the channels, the last one for the classes."""
    attributes = {"in_channels": ("in_channels",), "num_classes": ("out_features", "out_channels")}.get(argument, ())
    try:
        with torch.device("meta"):  # a model without memory: only its layers are asked for
            layers = list(bound.build(**runtime).named_modules())
    except Exception:
        return ""  # the model cannot be had with this number, which is wrong in any case
    for name, layer in layers if argument == "in_channels" else reversed(layers):
        if any(getattr(layer, attribute, None) == bound.args[argument] for attribute in attributes):
            return f", in layer {name!r}, {type(layer).__name__}({layer.extra_repr()})"
    return ""


def _runtime(shape: Sequence[int], classes: int | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"input_shape": tuple(shape)}
    if len(shape) == 3:
        facts["in_channels"] = shape[0]
    if classes is not None:
        facts["num_classes"] = classes
    return facts


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _is_torchvisions(bound: Bound) -> bool:
    return str(getattr(bound.obj, "__module__", "")).startswith("torchvision.models.")
