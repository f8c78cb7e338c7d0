"""Models that a configuration may name: assay's own and the classifiers of torchvision."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind

__all__ = ["MODELS"]

_RESNET = "assay.model.architectures.resnet"

MODELS = Kind(
    "model",
    base=("torch.nn:Module",),
    table={
        "LeNet": "assay.model.architectures.lenet:LeNet",
        "MLP": "assay.model.architectures.mlp:MLP",
        "ResNet": f"{_RESNET}:ResNet",
        "ResNet18": f"{_RESNET}:ResNet18",
        "ResNet34": f"{_RESNET}:ResNet34",
        "ResNet50": f"{_RESNET}:ResNet50",
        "ResNet101": f"{_RESNET}:ResNet101",
        "ResNet152": f"{_RESNET}:ResNet152",
    },
    # The functions that build classifiers; beside them stand classes, weights and helpers.
    families=(Family("torchvision.models", ("models/[!_]*.py",), names=r"(?!create_|get_|list_)[a-z]\w*"),),
    functions=True,
    runtime=frozenset({"num_classes", "in_channels", "input_shape"}),
    limits={
        "attention_dropout": Interval(ge=0, le=1),
        "dropout": Interval(ge=0, le=1),
        "groups": Interval(ge=1),
        "image_size": Interval(ge=1),
        "num_classes": Interval(ge=1),
        "stochastic_depth_prob": Interval(ge=0, le=1),
        "width_mult": Interval(gt=0),
        "width_per_group": Interval(ge=1),
    },
)
