"""The trainer for supervised learning: one input, one target, one optimizer."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge

from assay.model.losses.weighting import loss_weight
from assay.model.outputs import auxiliary_outputs, main_output
from assay.trainer.base import BaseTrainer
from assay.trainer.state import Parts, StepResult

__all__ = ["DefaultTrainer"]


class DefaultTrainer(BaseTrainer):
    """Batches are pairs (input, target).

    Args:
        auxiliary_weight: weight of the loss of every auxiliary output in training, for models that have them; 0.3 is
            that of GoogLeNet, Szegedy et al., 2015, https://arxiv.org/abs/1409.4842.

    The other arguments are those of `BaseTrainer`.
    """

    def __init__(self, parts: Parts, *, auxiliary_weight: Annotated[float, Ge(0)] = 0.3, **settings: Any) -> None:
        super().__init__(parts, **settings)
        self.auxiliary_weight = auxiliary_weight

    def train_step(self, batch: Any) -> StepResult:
        return self._step(batch)

    def evaluate_step(self, batch: Any) -> StepResult:
        return self._step(batch)

    def _step(self, batch: Any) -> StepResult:
        inputs, target = batch
        outputs = self.model(inputs)
        output = main_output(outputs)
        loss = self.loss(output, target)
        if self.model.training:
            for auxiliary in auxiliary_outputs(outputs):
                loss = loss + self.auxiliary_weight * self.loss(auxiliary, target)
        count = len(target)
        return StepResult(loss, output, target, count, loss_weight(self.loss, target, count))
