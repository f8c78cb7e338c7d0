"""Losses that a configuration may name: assay's own and those of `torch.nn`."""

from __future__ import annotations

from assay.config.components import Family, Kind

__all__ = ["LOSSES"]

LOSSES = Kind(
    "loss",
    base=("torch.nn:Module",),
    table={"SoftCrossEntropyLoss": "assay.model.losses.soft_cross_entropy:SoftCrossEntropyLoss"},
    families=(Family("torch.nn", ("nn/modules/loss.py",)),),
)
