"""What users keep in objects, containers and layers of their own: a resume has it too, or it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import tasks
from killing import Kill, assert_exact, endings, launched

pytestmark = pytest.mark.slow

KILLS = [Kill("a batch has come", 11), Kill("the step is counted", 3)]
ALLOW = ["tasks", "keeping"]


def of_trainer(name: str) -> dict[str, Any]:
    return tasks.short(trainer={"type": f"keeping:{name}", "args": {"epochs": 4}})


@pytest.mark.parametrize(
    "name", ["Meters", "Teacher", "Agents", "Carrying", "Settled", "Critic", "Views", "Various", "Beside"]
)
def test_a_trainer_goes_on_with_what_its_objects_and_networks_keep(name: str) -> None:
    assert assert_exact(of_trainer(name), KILLS, allow=ALLOW) == [-9, -9, 0]


@pytest.mark.parametrize("name", ["Remembered", "Several"])
def test_an_optimizer_goes_on_with_what_it_keeps(name: str) -> None:
    assert assert_exact(tasks.short(optimizer=f"keeping:{name}"), KILLS, allow=ALLOW) == [-9, -9, 0]


def test_a_large_buffer_that_torch_does_not_count_goes_on() -> None:
    assert assert_exact(tasks.short(model="keeping:Large"), KILLS, allow=ALLOW) == [-9, -9, 0]


def resumed(tmp_path: Path, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a run that was killed and resumed has said, and what its resume was called."""
    assert endings(config, tmp_path, KILLS[:1], allow=ALLOW) == [-9, 0]
    run = launched(tmp_path)
    assert run is not None
    return (run / "output.log").read_text(), orjson.loads((run / "status.json").read_bytes())["resumed"][-1]


def test_what_cannot_be_held_is_told_and_such_a_resume_is_not_called_exact(tmp_path: Path) -> None:
    text, entry = resumed(tmp_path, of_trainer("Lost"))
    for what in ("numbers (array)", "waiting (Queue)", "seeds (SeedSequence)", "first (it is deleted)"):
        assert f"warning: trainer.{what} changes in training and cannot be saved" in text
    assert entry["level"] == "A"


def test_a_transform_that_remembers_samples_is_told_and_nothing_is_promised(tmp_path: Path) -> None:
    settings = tasks.short()
    settings["data"] = {**settings["data"], "transforms": {"train": ["keeping:Growing"]}}
    text, entry = resumed(tmp_path, settings)
    assert "warning: data.transforms.0.count (int) changes in training and cannot be saved" in text
    assert entry["level"] == "none"
