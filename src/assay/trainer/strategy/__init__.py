"""How one training is spread over processes: each with a part of the batch and all or some rows of the model"""

from __future__ import annotations

from assay.trainer.strategy.base import Strategy

__all__ = ["Strategy"]
