"""A disk that refuses one call of a save, whichever it is; and the order in which a save makes its calls."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest
from file_events import leftovers, recorded, refusing
from saving import begun, is_right, save

from assay.errors import StorageError
from assay.trainer.checkpoint import Checkpoints

CODES = [errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES]


def _every_call_is_refused(folder: Path, code: int, *, onwards: bool = False) -> int:
    """In turn; the older checkpoints stay whole, the refusal is told, and the next save works. How many there were."""
    for number in itertools.count():
        place = begun(folder / str(number))
        with refusing(number, code, onwards=onwards) as failed:
            try:
                save(place, 3, 0.1, best=True)
                told = None
            except StorageError as error:
                told = error
        _require_whole(place, told, failed)
        if not failed:
            return number
    raise AssertionError


def _require_whole(place: Path, told: StorageError | None, failed: list[str]) -> None:
    checkpoints = Checkpoints(place)
    newest, faults = checkpoints.newest()
    assert faults == []
    assert newest is not None
    assert is_right(newest)
    assert is_right(checkpoints.load("best"))
    assert is_right(checkpoints.load("last"))
    if told is not None:
        assert str(place) in told.message
        assert "step-00000003" in told.message
        assert "free" in told.found
        assert "needed" in told.found
        assert "step-00000002" in told.hint
        assert told.exit_code == 6
    else:
        assert newest.step == 3, f"{failed} failed and nothing was said"
    save(place, 4, 0.05, best=True)
    assert checkpoints.load("best").step == checkpoints.load("last").step == 4
    checkpoints.clean()
    assert leftovers(place) == []


@pytest.mark.parametrize("onwards", [False, True], ids=["once", "from then on"])
def test_a_full_disk_at_any_call_of_a_save_is_told_and_costs_nothing_older(memory: Path, onwards: bool) -> None:
    assert _every_call_is_refused(memory, errno.ENOSPC, onwards=onwards) > 25


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES, ids=[errno.errorcode[code] for code in CODES])
def test_any_error_at_any_call_of_a_save_is_told_and_costs_nothing_older(memory: Path, code: int) -> None:
    assert _every_call_is_refused(memory, code) > 25


def test_nothing_is_named_before_it_is_synced_and_nothing_older_goes_before_the_new_one_is(memory: Path) -> None:
    folder = begun(memory / "checkpoints")
    made = recorded(lambda: save(folder, 3, 0.1, best=True))
    written = [number for number, (name, _) in enumerate(made) if name == "write"]
    synced = {about: number for number, (name, about) in enumerate(made) if name == "fsync"}
    opened = [about for name, about in made if name == "open"]
    temporary = next(about for name, about in made if name == "mkdir" and ".tmp-" in about)
    files = [about for about in opened if about.startswith(temporary)]
    assert [Path(about).name for about in files] == ["model.pt", "training.pt", "state.json", "manifest.json"]
    for about in files:
        last_write = max(number for number in written if made[number][1] == about)
        assert last_write < synced[about], f"{about} is not synced after it was written"
    first_of_manifest = min(number for number, (_, about) in enumerate(made) if about == files[-1])
    assert all(synced[about] < first_of_manifest for about in files[:-1])
    renamed = next(number for number, (name, about) in enumerate(made) if name == "rename" and about == temporary)
    assert synced[files[-1]] < synced[temporary] < renamed
    parent = [number for number, (name, about) in enumerate(made) if name == "fsync" and about == str(folder)]
    assert renamed < parent[0]
    linked = [number for number, (name, _) in enumerate(made) if name == "replace"]
    deleted = [
        number
        for number, (name, about) in enumerate(made)
        if name in ("unlink", "rmdir") or (name == "rename" and about != temporary)
    ]
    assert len(linked) == 2
    assert parent[0] < min(linked) < max(linked) < parent[1] < min(deleted)
    first = made[min(deleted)]
    assert (first[0], Path(first[1]).name) == ("rename", "step-00000001"), "out of sight in one move, then deleted"


def test_what_is_read_again_and_is_not_what_was_written_is_not_believed(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.trainer.checkpoint import folder as module

    folder = begun(memory / "checkpoints")
    publish = module.publish

    def damaging(target: Path, *rest: object) -> None:
        publish(target, *rest)  # type: ignore[arg-type]
        (target / "training.pt").write_bytes(b"another")

    monkeypatch.setattr(module, "publish", damaging)
    with pytest.raises(StorageError, match="not what was written"):
        save(folder, 3, 0.1, best=True)
    monkeypatch.undo()
    assert [path.name for path in Checkpoints(folder).all()] == ["step-00000001", "step-00000002"]
    assert Checkpoints(folder).load("last").step == 2
