"""The one loop, what it needs, and the trainers made from it."""

from __future__ import annotations

from assay.config.components import Family, Kind

__all__ = ["OPTIMIZERS", "TRAINERS"]

TRAINERS = Kind(
    "trainer",
    base=("assay.trainer.base:BaseTrainer",),
    table={"DefaultTrainer": "assay.trainer.default:DefaultTrainer"},
    runtime=frozenset({"parts"}),
)

OPTIMIZERS = Kind(
    "optimizer",
    base=("torch.optim:Optimizer",),
    table={},
    families=(Family("torch.optim", ("optim/__init__.py",)),),
    runtime=frozenset({"params"}),
)
