"""Transforms by name: assay's own for whole batches, torchvision's v2, and classes of one's own."""

from __future__ import annotations

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
)
