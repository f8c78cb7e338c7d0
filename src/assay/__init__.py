"""One configuration file in, a trained and measured PyTorch model and a complete run folder out.

    run = assay.train("configs/runs/default.json")
    run = assay.open("saved/digits/...")
    report = assay.check("configs/runs/default.json")

Importing assay does not import torch; a training that starts does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "check", "open", "resume_check", "train"]

if TYPE_CHECKING:
    from assay.experiment.api import check, open, resume_check, train


def __getattr__(name: str) -> object:
    if name in ("check", "open", "resume_check", "train"):
        from assay.experiment import api

        return getattr(api, name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}")
