"""Whatever is done to the files of a checkpoint, it is never taken for whole."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from saving import begun, is_right, save

from assay.errors import CheckpointError
from assay.store.manifest import encoded
from assay.trainer.checkpoint import Checkpoints

FILES = ("model.pt", "training.pt", "state.json", "manifest.json")
NEWEST = "step-00000003"

Damage = Callable[[Path], object]


def _truncated(name: str, share: float) -> Damage:
    def act(path: Path) -> None:
        size = (path / name).stat().st_size
        os.truncate(path / name, {0.0: 0, 0.001: 1, 1.0: size - 1}.get(share, int(share * size)))

    return act


def _flipped(name: str, seed: int) -> Damage:
    def act(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[random.Random(f"{name}{seed}").randrange(len(content))] ^= 1 << (seed % 8)
        (path / name).write_bytes(content)

    return act


def _zeroed(name: str) -> Damage:
    def act(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(bytes(min(4096, len(content))) + content[4096:])

    return act


def _replaced(name: str, make: Callable[[Path], object]) -> Damage:
    def act(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return act


def _moved(name: str) -> Damage:
    """It would be read as before, until what it leads to is gone."""

    def act(path: Path) -> None:
        (path / name).rename(path.parent / f"moved-{name}")
        (path / name).symlink_to(f"../moved-{name}")

    return act


def _swapped(name: str) -> Damage:
    return lambda path: shutil.copy(path.parent / "step-00000002" / name, path / name)


def _edited(**changes: object) -> Damage:
    """Some facts of the manifest, by hand: its own sum tells."""

    def act(path: Path) -> None:
        facts = orjson.loads((path / "manifest.json").read_bytes())
        (path / "manifest.json").write_bytes(orjson.dumps({**facts, **changes}, option=orjson.OPT_INDENT_2))

    return act


def _made_anew(**changes: object) -> Damage:
    """The same, and the sum as well, as somebody would who knows how it is made."""

    def act(path: Path) -> None:
        facts = orjson.loads((path / "manifest.json").read_bytes())
        del facts["sha256"]
        (path / "manifest.json").write_bytes(encoded({**facts, **changes}))

    return act


def _reached_by(name: str) -> Damage:
    def act(path: Path) -> None:
        shutil.copy(path / "model.pt", path.parent.parent / "elsewhere.pt")
        facts = orjson.loads((path / "manifest.json").read_bytes())
        files = {name: facts["files"]["model.pt"], **facts["files"]}
        _made_anew(files=files)(path)

    return act


def damages() -> Iterator[tuple[str, Damage]]:
    for name in FILES:
        for share in (0.0, 0.001, 0.25, 0.5, 1.0):
            yield f"{name} truncated to {share}", _truncated(name, share)
        for seed in range(32):
            yield f"bit {seed} of {name} flipped", _flipped(name, seed)
        yield f"{name} zeroed", _zeroed(name)
        yield f"{name} deleted", _replaced(name, lambda file: None)
        yield f"{name} a folder", _replaced(name, Path.mkdir)
        yield f"{name} a loop of links", _replaced(name, lambda file: file.symlink_to(file.name))
        yield f"{name} a link", _replaced(name, lambda file: file.symlink_to(f"../step-00000002/{file.name}"))
        yield f"{name} moved away, and a link to it", _moved(name)
        yield f"{name} a pipe", _replaced(name, os.mkfifo)
        yield f"{name} of another kind", _replaced(name, lambda file: file.write_text("{}"))
        yield f"{name} of another step", _swapped(name)
        yield f"{name} longer", lambda path, name=name: (path / name).write_bytes((path / name).read_bytes() + b"\n")
    for name, value in {
        "step": 4,
        "epoch": 7,
        "value": 0.0,
        "files": {},
        "format": 1,
        "sha256": "0" * 64,
        "monitor": "max validation/loss",
    }.items():
        yield f"manifest's {name} edited", _edited(**{name: value})
    yield "manifest of another step, made anew", _made_anew(step=4)
    yield "manifest without files, made anew", _made_anew(files={})
    yield "manifest of files that are a list, made anew", _made_anew(files=["model.pt"])
    yield "manifest with a negative step, made anew", _made_anew(step=-3)
    yield "manifest with a step in words, made anew", _made_anew(step="3")
    yield "manifest with a value in words, made anew", _made_anew(value="good")
    yield "manifest without sums, made anew", _made_anew(files={"model.pt": {}})
    yield "manifest with a text for a size, made anew", _made_anew(files={"model.pt": {"bytes": "3", "sha256": "a"}})
    yield "a manifest that leads out", _reached_by("../../elsewhere.pt")
    yield "a manifest that leads to a hidden file", _reached_by(".model.pt")
    yield "an empty folder", lambda path: [file.unlink() for file in path.iterdir()]
    yield "a file in the folder's place", lambda path: (shutil.rmtree(path), path.write_text("x"))
    yield "a link in the folder's place", lambda path: (shutil.rmtree(path), path.symlink_to("step-00000002"))
    yield "a loop in the folder's place", lambda path: (shutil.rmtree(path), path.symlink_to(path.name))
    yield "a pipe in the folder's place", lambda path: (shutil.rmtree(path), os.mkfifo(path))
    yield (
        "another step's folder under this name",
        lambda path: (shutil.rmtree(path), shutil.copytree(path.parent / "step-00000002", path)),
    )


DAMAGES = dict(damages())


@pytest.fixture
def folder(memory: Path) -> Path:
    made = begun(memory / "checkpoints")
    save(made, 3, 0.5)
    return made


def test_two_hundred_damages_are_all_found(memory: Path) -> None:
    assert len(DAMAGES) > 200
    start = begun(memory / "start")
    save(start, 3, 0.5)
    for number, (what, damage) in enumerate(DAMAGES.items()):
        folder = memory / str(number)
        shutil.copytree(start, folder, symlinks=True)
        damage(folder / NEWEST)
        checkpoints = Checkpoints(folder)
        before = _listing(folder)
        newest, faults = checkpoints.newest()
        assert newest is not None, what
        assert newest.step == 2, what
        assert is_right(newest), what
        assert len(faults) == 1, what
        assert NEWEST in faults[0], what
        with pytest.raises(CheckpointError, match="step-00000001, step-00000002") as caught:
            checkpoints.load(NEWEST)
        assert caught.value.exit_code == 4
        with pytest.raises(CheckpointError):
            checkpoints.load("last")
        assert _listing(folder) == before, what
        shutil.rmtree(folder)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_ten_thousand_flipped_bits_are_all_found(folder: Path) -> None:
    chance = random.Random(os.environ.get("ASSAY_FAULTS_SEED", "1"))
    for _ in range(10_000):
        file = folder / NEWEST / chance.choice(FILES)
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError):  # of a format that looks newer, or damaged
            Checkpoints(folder).load(NEWEST)
        file.write_bytes(content)
    assert Checkpoints(folder).load(NEWEST).step == 3


def test_the_message_has_the_file_what_was_expected_and_what_was_found(folder: Path) -> None:
    size = (folder / NEWEST / "model.pt").stat().st_size
    os.truncate(folder / NEWEST / "model.pt", 7)
    _, faults = Checkpoints(folder).newest()
    wrong = f"{NEWEST} is damaged: model.pt has 7 bytes, expected {size}"
    assert faults == [f"{wrong}; step-00000002 is used in its place, and 1 step is made again"]


def test_where_all_are_damaged_nothing_is_changed_and_nothing_begins_from_scratch(folder: Path) -> None:
    for path in Checkpoints(folder).all():
        os.truncate(path / "training.pt", 0)
    before = _listing(folder)
    with pytest.raises(CheckpointError, match=r"3 checkpoints in .* and none can be used") as caught:
        Checkpoints(folder).newest()
    assert caught.value.exit_code == 4
    assert all(name in caught.value.found for name in ("step-00000001", "step-00000002", NEWEST))
    assert _listing(folder) == before


def test_checkpoints_that_were_taken_away_are_missed(folder: Path) -> None:
    for path in Checkpoints(folder).all():
        shutil.rmtree(path)
    with pytest.raises(CheckpointError, match="none can be used") as caught:
        Checkpoints(folder).newest()
    assert "last is a link to nothing" in caught.value.found


def test_one_of_a_newer_version_is_never_passed_over(folder: Path) -> None:
    _made_anew(format=99)(folder / NEWEST)
    for ask in (Checkpoints(folder).newest, lambda: Checkpoints(folder).load("last")):
        with pytest.raises(CheckpointError, match="written by a newer version") as caught:
            ask()
        assert (caught.value.exit_code, caught.value.found, caught.value.expected) == (4, "format 99", "format 2")


def test_a_damaged_one_takes_no_others_place(folder: Path) -> None:
    os.truncate(folder / NEWEST / "model.pt", 0)
    save(folder, 4, 0.6)
    whole = [path.name for path in Checkpoints(folder).all() if path.name != NEWEST]
    assert whole == ["step-00000001", "step-00000002", "step-00000004"]  # the best, and the newest two that are whole
    save(folder, 5, 0.6)
    assert [path.name for path in Checkpoints(folder).all()] == ["step-00000001", "step-00000004", "step-00000005"]


def test_one_that_is_damaged_while_the_run_goes_on_is_noticed(memory: Path) -> None:
    checkpoints = Checkpoints(begun(memory / "checkpoints"))
    tensors, state = {"model": {}}, {"step": 0}
    for step in (3, 4):
        path = checkpoints.save(step, tensors, state)
    content = bytearray((path / "state.json").read_bytes())
    content[1] ^= 1
    (path / "state.json").write_bytes(content)
    checkpoints.save(5, tensors, state)
    assert {"step-00000003", "step-00000005"} <= {found.name for found in checkpoints.all()}


@pytest.mark.parametrize(
    "name", ["../checkpoints/step-00000003", "/etc", "step-3", "", "..", "step-00000009", "newest"]
)
def test_a_name_of_no_checkpoint_is_an_error_that_lists_those_there_are(folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(folder).load(name)
    assert caught.value.found == f"step-00000001, step-00000002, {NEWEST}"


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    facts = [(path, path.lstat()) for path in folder.rglob("*")]
    return sorted((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in facts)
