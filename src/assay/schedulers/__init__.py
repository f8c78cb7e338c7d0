"""Learning-rate schedulers that a configuration may name: assay's own, and those of torch."""

from __future__ import annotations

from assay.config.components import Family, Kind

__all__ = ["SCHEDULERS"]

SCHEDULERS = Kind(
    "scheduler",
    base=("torch.optim.lr_scheduler:LRScheduler", "assay.schedulers.base:BaseScheduler"),
    table={"DynamicLR": "assay.schedulers.dynamic:DynamicLR"},
    families=(
        Family(
            "torch.optim.lr_scheduler",
            ("optim/lr_scheduler.py",),
            # These are made of other schedulers, or of nothing; the list in the configuration is assay's way.
            names=r"(?!(?:LRScheduler|SequentialLR|ChainedScheduler)$)[A-Z]\w*",
        ),
    ),
    runtime=frozenset({"optimizer", "mode", "T_max", "total_steps"}),
)
