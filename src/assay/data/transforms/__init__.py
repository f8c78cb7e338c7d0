"""Transforms by name: assay's own for whole batches, torchvision's v2, and classes of one's own."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind

__all__ = ["TRANSFORMS"]

# Names of torchvision.transforms.v2 that are no transform of an image alone: enumerations, the base class,
# and those that mix the samples and targets of a batch.
_NOT_FOR_IMAGES = "AutoAugmentPolicy|InterpolationMode|Transform|CutMix|MixUp|ToTensor"

TRANSFORMS = Kind(
    "transform",
    # `Callable` is what any class with __call__ is a subclass of: a transform of one's own needs no base
    # class.
    base=("assay.data.transforms.base:BaseTransform", "collections.abc:Callable"),
    table={
        "Normalize": "assay.data.transforms.normalize:Normalize",
        "RandomCrop": "assay.data.transforms.random_crop:RandomCrop",
        "RandomHorizontalFlip": "assay.data.transforms.random_horizontal_flip:RandomHorizontalFlip",
    },
    families=(
        Family(
            "torchvision.transforms.v2",
            ("transforms/v2/__init__.py",),
            rf"(?!(?:{_NOT_FOR_IMAGES})$)[A-Z]\w*",
        ),
    ),
    limits={
        "bits": Interval(ge=0, le=8),
        "brightness": Interval(ge=0),
        "contrast": Interval(ge=0),
        "distortion_scale": Interval(ge=0, le=1),
        "hue": Interval(ge=-0.5, le=0.5),
        "interpolation": ("nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos"),
        "kernel_size": Interval(ge=1),
        "magnitude": Interval(ge=0),
        "max_size": Interval(ge=1),
        "min_size": Interval(ge=1),
        "num_magnitude_bins": Interval(ge=1),
        "num_ops": Interval(ge=0),
        "num_samples": Interval(ge=1),
        "p": Interval(ge=0, le=1),
        "quality": Interval(ge=1, le=100),
        "saturation": Interval(ge=0),
        "severity": Interval(ge=1, le=10),
        "sharpness_factor": Interval(ge=0),
        "size": Interval(ge=1),
        "std": Interval(gt=0),
        "target_size": Interval(ge=1),
        "translate": Interval(ge=0, le=1),
        "trials": Interval(ge=1),
        "GaussianBlur.sigma": Interval(gt=0),
        "GaussianNoise.sigma": Interval(ge=0),
        "RandomAffine.scale": Interval(gt=0),
        "RandomErasing.ratio": Interval(gt=0),
        "RandomErasing.scale": Interval(ge=0, le=1),
        "RandomResizedCrop.ratio": Interval(gt=0),
        "RandomResizedCrop.scale": Interval(gt=0),
    },
)
