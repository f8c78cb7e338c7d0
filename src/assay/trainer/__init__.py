"""The one loop, what it needs, and the trainers made from it."""

from __future__ import annotations

from annotated_types import Interval

from assay.config.components import Family, Kind

__all__ = ["OPTIMIZERS", "TRAINERS"]

TRAINERS = Kind(
    "trainer",
    base=("assay.trainer.base:BaseTrainer",),
    table={"DefaultTrainer": "assay.trainer.default:DefaultTrainer"},
    runtime=frozenset({"parts"}),
    reserved=frozenset({"parts"}),
)

OPTIMIZERS = Kind(
    "optimizer",
    base=("torch.optim:Optimizer",),
    table={},
    families=(Family("torch.optim", ("optim/__init__.py",), r"(?!Optimizer$)[A-Z]\w*"),),
    runtime=frozenset({"params"}),
    reserved=frozenset({"params"}),
    limits={
        "lr": Interval(gt=0),
        "alpha": Interval(ge=0),
        "betas": Interval(ge=0, lt=1),
        "eps": Interval(ge=0),
        "etas": Interval(gt=0),
        "history_size": Interval(ge=1),
        "initial_accumulator_value": Interval(ge=0),
        "line_search_fn": ("strong_wolfe",),
        "lr_decay": Interval(ge=0),
        "max_eval": Interval(ge=1),
        "max_iter": Interval(ge=1),
        "momentum": Interval(ge=0, lt=1),
        "momentum_decay": Interval(ge=0),
        "ns_steps": Interval(ge=1),
        "rho": Interval(ge=0, le=1),
        "step_sizes": Interval(gt=0),
        "tolerance_change": Interval(ge=0),
        "tolerance_grad": Interval(ge=0),
        "weight_decay": Interval(ge=0),
        "Adafactor.beta2_decay": Interval(le=0),
        "Adafactor.d": Interval(ge=1),
    },
)
