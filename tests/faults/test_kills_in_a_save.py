"""Killed just before every event of the file system that three saves with their removals make."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from file_events import killed_at, leftovers
from saving import begun, is_right, save, three_saves

from assay.trainer.checkpoint import Checkpoints


def _damaged_newest(folder: Path) -> None:
    """The step that is saved next is there already and damaged, as after a resume that took the one before."""
    (save(folder, 3, 0.2) / "model.pt").write_bytes(b"")
    Checkpoints(folder).relink(best=1, last=2)


def _whole_newest(folder: Path) -> None:
    """The step that is saved next is there already, and whole."""
    save(folder, 3, 0.2)


SCENES: dict[str, Callable[[Path], object]] = {
    "plain": lambda folder: None,
    "again, after a damaged one": _damaged_newest,
    "again, beside a whole one": _whole_newest,
}


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_killed_anywhere_in_three_saves_a_whole_checkpoint_is_there_and_the_next_save_works(
    memory: Path, scene: str
) -> None:
    start = begun(memory / "start")
    SCENES[scene](start)
    number = 0
    while True:
        folder = memory / f"trial-{number}"
        shutil.copytree(start, folder, symlinks=True)
        was_killed = killed_at(number, lambda folder=folder: three_saves(folder))
        _require_whole(folder)
        shutil.rmtree(folder)
        if not was_killed:
            break
        number += 1
    assert number > 100, f"{number} events are too few to be all"


def _require_whole(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    newest, faults = checkpoints.newest()
    assert newest is not None
    assert newest.step >= 2
    assert is_right(newest)
    assert all("step-00000003 is damaged" in fault for fault in faults)
    for name in ("best", "last"):  # never a moment without
        assert is_right(checkpoints.load(name))
    whole = [path for path in checkpoints.all() if is_right_at(checkpoints, path.name)]
    assert len(whole) >= 2
    checkpoints.clean()
    assert leftovers(folder) == []
    save(folder, 6, 0.9)
    assert is_right(checkpoints.load("last"))
    assert checkpoints.load("last").step == 6
    assert leftovers(folder) == []


def is_right_at(checkpoints: Checkpoints, name: str) -> bool:
    from assay.errors import CheckpointError

    try:
        return is_right(checkpoints.load(name))
    except CheckpointError:
        return False


def test_three_saves_that_are_not_killed_leave_the_newest_two_and_the_best(tmp_path: Path) -> None:
    folder = begun(tmp_path / "checkpoints")
    three_saves(folder)
    assert [path.name for path in Checkpoints(folder).all()] == ["step-00000004", "step-00000005"]
