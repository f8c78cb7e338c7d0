from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from assay.errors import CheckpointError, StorageError
from assay.trainer.checkpoint import Checkpoints


def save(checkpoints: Checkpoints, step: int, value: float | None = None, *, best: bool = False) -> Path:
    return checkpoints.save(step, {"model": {"w": torch.full((4,), float(step))}}, {"step": step}, value, best=best)


def names(checkpoints: Checkpoints) -> list[str]:
    return [path.name for path in checkpoints.all()]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 3)
    found, faults = checkpoints.newest()
    assert found is not None
    assert (found.step, found.state, faults) == (3, {"step": 3}, [])
    assert torch.equal(found.tensors("model")["w"], torch.full((4,), 3.0))


def test_the_newest_and_the_best_are_kept_and_the_rest_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_best=1)
    for step, value in enumerate([0.5, 0.1, 0.3, 0.4, 0.2]):
        save(checkpoints, step, value, best=value in (0.5, 0.1))
    assert names(checkpoints) == ["step-00000001", "step-00000003", "step-00000004"]
    assert checkpoints.load("best").step == 1
    assert checkpoints.load("last").step == 4
    assert not list(tmp_path.glob(".t*"))


def test_best_and_last_are_names_and_not_copies(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1, 0.5, best=True)
    assert (tmp_path / "best").is_symlink()
    assert os.readlink(tmp_path / "best") == "step-00000001"


@pytest.mark.parametrize("file", ["model.pt", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path: Path, file: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    path = save(checkpoints, 2) / file
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        path.unlink()
    if file == "manifest.json" and damage == "flipped":
        # A flipped bit in the manifest either breaks it or makes a sum differ; both are found.
        pass
    found, faults = checkpoints.newest()
    assert found is not None
    assert found.step == 1
    assert len(faults) == 1
    assert "step-00000002 is damaged" in faults[0]


def test_where_none_verifies_it_never_starts_from_scratch(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (save(checkpoints, 1) / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="none can be used") as caught:
        checkpoints.newest()
    assert caught.value.exit_code == 4


def test_a_named_checkpoint_that_is_damaged_is_an_error_without_falling_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    (save(checkpoints, 2) / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        checkpoints.load("step-00000002")


def test_a_save_that_fails_leaves_the_older_ones_and_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="No space left"):
        save(checkpoints, 2)
    monkeypatch.undo()
    assert names(checkpoints) == ["step-00000001"]
    assert checkpoints.newest()[1] == []
    assert not list(tmp_path.glob(".tmp*"))


def test_nothing_but_tensors_and_plain_types_is_loaded(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'canary'}",)

    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, {"model": {"w": Code()}}, {})
    found, _ = checkpoints.newest()
    assert found is not None
    with pytest.raises(
        CheckpointError, match=r"model\.pt contains code \((posix|nt)\.system\); refused; nothing was run"
    ):
        found.tensors("model")
    assert not (tmp_path / "canary").exists()


def test_what_a_kill_left_is_cleaned_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1, 0.5, best=True)
    for name in (".tmp-step-00000002-aaaaaa", ".trash-step-00000000-bbbbbb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pt").write_bytes(b"half")
    (tmp_path / ".last-cccccc").symlink_to("step-00000001")
    checkpoints.clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "last", "step-00000001"]


def test_what_is_used_instead_of_a_damaged_one_is_told_with_the_steps_that_it_costs(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 7, 9):
        path = save(checkpoints, step, 0.5 if step == 3 else None, best=step == 3)
        if step > 3:
            (path / "model.pt").unlink()
    found, faults = checkpoints.newest()
    assert found is not None
    assert found.step == 3
    assert faults[-1].endswith("step-00000003 is used in its place, and 6 steps are made again")


def test_a_damaged_one_that_is_removed_is_told(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    told: list[str] = []
    checkpoints.tell = told.append
    (save(checkpoints, 1) / "model.pt").unlink()
    save(checkpoints, 2)
    assert told == ["step-00000001 is damaged and is removed; newer ones that are whole: step-00000002"]
