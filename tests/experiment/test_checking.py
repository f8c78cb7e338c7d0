from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.experiment.checking import examined

Tiny = Callable[..., dict[str, Any]]


def test_a_configuration_is_held_against_every_kind_of_component(project: Path, tiny: Tiny) -> None:
    found = examined(tiny(), ["seed=3"])
    assert found.problems == ()
    assert found.faulty == frozenset()
    assert {at[0] for at in found.components} == {"data", "model", "loss", "metrics", "optimizer", "trainer"}
    assert found.checked().config.seed == 3
