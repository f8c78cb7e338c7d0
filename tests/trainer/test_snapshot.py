"""What a resume takes up that no figure of an ordinary run shows."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.errors import Interrupted
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult

Tiny = Callable[..., dict[str, Any]]


class Drawing(DefaultTrainer):
    """Changes its loss by the generators that belong to nobody, and may get a signal at a step."""

    stop_at = -1

    def train_step(self, batch: Any) -> StepResult:
        on_paper = type(batch[0]) is not torch.Tensor
        result = super().train_step(batch)
        if not on_paper:
            result.loss = result.loss * (1 + random.random() + float(np.random.rand()))
            if self.progress.step == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
        return result


def whole_and_resumed(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The last `training.pt` of a run, and of one that was stopped at step 5 in another state of the process."""
    random.seed(7), np.random.seed(7)
    whole = assay.train(config, quiet=True, preflight=False)
    random.seed(7), np.random.seed(7)
    with monkeypatch.context() as context:
        context.setattr(Drawing, "stop_at", 5)
        with pytest.raises(Interrupted):
            assay.train(config, quiet=True, preflight=False)
    random.seed(8), np.random.seed(8)
    resumed = assay.train(config, resume=assay.open("last").path, quiet=True, preflight=False)
    whole_state, resumed_state = (
        torch.load(run.folder.checkpoints / "last" / "training.pt", weights_only=True) for run in (whole, resumed)
    )
    return whole_state, resumed_state


def test_what_a_step_draws_from_the_generators_of_python_and_numpy_goes_on(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny({"trainer": {"type": Drawing, "args": {"max_steps": 12}}})
    whole, resumed = whole_and_resumed(config, monkeypatch)
    assert whole["progress"]["last"] == resumed["progress"]["last"]


def test_the_scale_of_a_loss_in_float16_goes_on_with_its_count(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny({"host": {"precision": "float16"}, "trainer": {"type": Drawing, "args": {"max_steps": 12}}})
    whole, resumed = whole_and_resumed(config, monkeypatch)
    assert whole["scaler"]["_growth_tracker"] == 12
    assert whole["scaler"] == resumed["scaler"]
