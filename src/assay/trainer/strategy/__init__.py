"""How one training is spread over processes: alone, or each with all of the model and a part of every batch"""

from __future__ import annotations

from assay.trainer.strategy.base import Strategy

__all__ = ["Strategy"]
