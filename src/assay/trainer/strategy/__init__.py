"""How one training is spread over processes: alone, each with all of the model, or each with a part of it"""

from __future__ import annotations

from assay.trainer.strategy.base import Strategy

__all__ = ["Strategy"]
