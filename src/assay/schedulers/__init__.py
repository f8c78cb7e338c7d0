"""Learning-rate schedulers that a configuration may name: assay's own, and those of torch."""

from __future__ import annotations

from annotated_types import Interval

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
    reserved=frozenset({"optimizer"}),
    limits={
        "T_0": Interval(ge=1),
        "T_max": Interval(ge=1),
        "T_mult": Interval(ge=1),
        "base_lr": Interval(ge=0),
        "base_momentum": Interval(ge=0, le=1),
        "cooldown": Interval(ge=0),
        "div_factor": Interval(gt=0),
        "end_factor": Interval(ge=0, le=1),
        "epochs": Interval(ge=1),
        "eps": Interval(ge=0),
        "eta_min": Interval(ge=0),
        "final_div_factor": Interval(gt=0),
        "gamma": Interval(gt=0),
        "last_epoch": Interval(ge=-1),
        "max_lr": Interval(gt=0),
        "max_momentum": Interval(ge=0, le=1),
        "milestones": Interval(ge=0),
        "min_lr": Interval(ge=0),
        "patience": Interval(ge=0),
        "pct_start": Interval(ge=0, le=1),
        "power": Interval(gt=0),
        "start_factor": Interval(gt=0, le=1),
        "step_size": Interval(ge=1),
        "step_size_down": Interval(ge=1),
        "step_size_up": Interval(ge=1),
        "steps_per_epoch": Interval(ge=1),
        "threshold": Interval(ge=0),
        "total_iters": Interval(ge=1),
        "total_steps": Interval(ge=1),
        "ConstantLR.factor": Interval(gt=0, le=1),
        "CyclicLR.mode": ("triangular", "triangular2", "exp_range"),
        "ReduceLROnPlateau.factor": Interval(gt=0, lt=1),
    },
)
