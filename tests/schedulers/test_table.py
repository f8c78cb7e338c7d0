from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.config.components import Allowed, Refused, find
from assay.schedulers import SCHEDULERS

ALLOWED = Allowed(Path.cwd())


def test_every_name_stands_for_a_scheduler() -> None:
    assert "DynamicLR" in SCHEDULERS.names()
    for name in SCHEDULERS.names():
        assert find(SCHEDULERS, name, ALLOWED).__name__ == name


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "OneCycleLR", "ReduceLROnPlateau", "LinearLR"])
def test_torchs_schedulers_have_their_names(name: str) -> None:
    assert name in SCHEDULERS.names()


@pytest.mark.parametrize("name", ["SequentialLR", "ChainedScheduler", "LRScheduler", "Optimizer"])
def test_what_a_configuration_cannot_make_is_no_name(name: str) -> None:
    with pytest.raises(Refused):
        find(SCHEDULERS, name, ALLOWED)


def test_the_table_needs_no_torch() -> None:
    code = "import sys, assay.schedulers as s; s.SCHEDULERS.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
