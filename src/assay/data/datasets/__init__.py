"""Datasets by name: assay's own, torchvision's, and classes of one's own."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind

__all__ = ["DATASETS"]

DATASETS = Kind(
    "dataset",
    base=("torch.utils.data:Dataset",),
    table={
        "ArrayFile": "assay.data.datasets.array_file:ArrayFile",
        "CIFAR10": "assay.data.datasets.cifar:CIFAR10",
        "CIFAR100": "assay.data.datasets.cifar:CIFAR100",
        "Digits": "assay.data.datasets.digits:Digits",
        "FashionMNIST": "assay.data.datasets.mnist:FashionMNIST",
        "ImageFolder": "assay.data.datasets.image_folder:ImageFolder",
        "MNIST": "assay.data.datasets.mnist:MNIST",
    },
    families=(Family("torchvision.datasets", ("datasets/__init__.py",), r"(?!VisionDataset$)[A-Z]\w*"),),
    # `root` is the user's to give; where a class requires it, it is "data".
    runtime=frozenset({"split", "train", "download", "root"}),
    limits={
        "frames_per_clip": Interval(ge=1),
        "step_between_clips": Interval(ge=1),
        "FakeData.image_size": Interval(ge=1),
        "FakeData.num_classes": Interval(ge=1),
        "FakeData.size": Interval(ge=1),
    },
)
