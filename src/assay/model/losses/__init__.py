"""Losses that a configuration may name: assay's own and those of `torch.nn`."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind

__all__ = ["LOSSES"]

LOSSES = Kind(
    "loss",
    base=("torch.nn:Module",),
    table={"SoftCrossEntropyLoss": "assay.model.losses.soft_cross_entropy:SoftCrossEntropyLoss"},
    families=(Family("torch.nn", ("nn/modules/loss.py",)),),
    limits={
        "beta": Interval(ge=0),
        "blank": Interval(ge=0),
        "delta": Interval(gt=0),
        "eps": Interval(gt=0),
        "label_smoothing": Interval(ge=0, le=1),
        # A loss gives one number for a batch, so "none" is not among them.
        "reduction": ("mean", "sum"),
        "KLDivLoss.reduction": ("batchmean", "mean", "sum"),
        "CosineEmbeddingLoss.margin": Interval(ge=-1, le=1),
        "MultiMarginLoss.p": Interval(ge=1, le=2),
        "TripletMarginLoss.margin": Interval(gt=0),
        "TripletMarginLoss.p": Interval(gt=0),
        "TripletMarginWithDistanceLoss.margin": Interval(gt=0),
    },
)
