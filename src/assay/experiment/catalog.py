"""Every kind of component by the name of its slot. Importing this imports no torch."""

from __future__ import annotations

from assay.config.components import Kind
from assay.data.datasets import DATASETS
from assay.data.loaders import LOADERS
from assay.data.transforms import TRANSFORMS
from assay.logger import LOGGERS
from assay.model.architectures import MODELS
from assay.model.losses import LOSSES
from assay.model.metrics import METRICS
from assay.schedulers import SCHEDULERS
from assay.trainer import OPTIMIZERS, TRAINERS

__all__ = ["KINDS"]

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        DATASETS,
        LOADERS,
        TRANSFORMS,
        MODELS,
        LOSSES,
        METRICS,
        OPTIMIZERS,
        SCHEDULERS,
        TRAINERS,
        LOGGERS,
    )
}
