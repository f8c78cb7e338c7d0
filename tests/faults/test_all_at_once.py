"""The digits default with every tracker at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trials import weights

import assay
from assay.logger.courier import launch
from event_files import journalled as as_event_files_keep_it
from event_files import scalars
from far_ends import FarEnd, journalled

DEFAULT = Path(__file__).parents[2] / "configs" / "runs" / "default.json"


def _both(far_ends: Callable[[str], FarEnd], changes: dict[str, Any], epochs: int) -> None:
    config = {key: value for key, value in json.loads(DEFAULT.read_text()).items() if key != "$schema"} | changes
    config["trainer"]["args"] |= {"epochs": epochs}
    quiet = assay.train({**config, "loggers": []}, quiet=True, preflight=False)
    trackers = [far_ends(name) for name in ("mongo", "elastic", "mlflow")]
    entries = [tracker.logger("all-at-once") for tracker in trackers]
    run = assay.train({**config, "loggers": ["TensorBoardLogger", *entries]}, preflight=False)
    assert run.status["state"] == "completed"
    for delivered in launch.sync([run.path], deadline=60.0).values():
        assert not str(delivered.backlog)
    assert scalars(run.path) == as_event_files_keep_it(run.path)
    for tracker in trackers:
        assert tracker.points("all-at-once", run.path.name) == journalled(run.path, tracker.spell)
    one, other = weights(quiet), weights(run)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_digits_default_is_in_each_of_four_trackers_once_and_trains_as_without(
    project: Path, far_ends: Callable[[str], FarEnd]
) -> None:
    _both(far_ends, {}, epochs=12)


def test_two_epochs_of_it_step_by_step_are_too(project: Path, far_ends: Callable[[str], FarEnd]) -> None:
    _both(far_ends, {"logging": {"every": "1ba", "system": "1s"}}, epochs=2)
