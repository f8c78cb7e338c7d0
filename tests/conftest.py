"""What every test has: one thread of arithmetic each, a folder of its own, and a small run."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Two test processes share two cores: more threads each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

pytest.register_assert_rewrite("trials", "far_ends", "killing")

TINY: dict[str, Any] = {
    "project": "tests",
    "name": "tiny",
    "data": {
        "dataset": "Digits",
        "loader": {"type": "BatchLoader", "args": {"batch_size": 128}},
        "transforms": {"train": [], "test": []},
    },
    "model": {"type": "MLP", "args": {"hidden": [16]}},
    "loss": "CrossEntropyLoss",
    "metrics": ["Accuracy"],
    "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
    "trainer": {"type": "DefaultTrainer", "args": {"epochs": 2}},
    "loggers": [],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project of the user's, entered."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def tiny() -> Callable[..., dict[str, Any]]:
    """A small configuration, with changes by dotted key: `tiny(**{"trainer.args.epochs": 3})`."""

    def make(changes: dict[str, Any] | None = None) -> dict[str, Any]:
        config = copy.deepcopy(TINY)
        for key, value in (changes or {}).items():
            *sections, last = key.split(".")
            place = config
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        return config

    return make
