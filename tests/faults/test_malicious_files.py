"""Files that would run code where one reads them with pickle: as a checkpoint's, and as a model's weights."""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from payloads import payloads
from saving import content

from assay.errors import CheckpointError
from assay.model.architectures.mlp import MLP
from assay.model.architectures.weights import load_weights
from assay.store.manifest import encoded
from assay.trainer.checkpoint import Checkpoints
from assay.utils.digest import sha256_of
from assay.utils.tensor_file import load

FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "exec",
    "socket.connect",
    "pickle.find_class",
)


class Watch:
    """What Python's audit hooks tell while it is on; a hook cannot be taken away, so there is one."""

    seen: ClassVar[list[str]] = []
    is_on = False

    @classmethod
    def hook(cls, event: str, args: tuple[Any, ...]) -> None:
        if not cls.is_on:
            return
        if event in FORBIDDEN:
            cls.seen.append(event)
        elif event == "import":
            cls.seen.append(f"import {args[0]}")
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            cls.seen.append(f"open {args[0]}")


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> type[Watch]:
    file = tmp_path_factory.mktemp("honest") / "weights.pt"
    torch.save({"w": torch.zeros(1), "b": b"bytes"}, file)
    load(file)  # torch imports some of itself the first time, and what is imported is executed
    "".encode("idna")
    sys.addaudithook(Watch.hook)
    return Watch


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What takes gigabytes fails, and does not take them from others."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/status") as stream:
        data = next(int(line.split()[1]) for line in stream if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, ((data + 2_000_000) * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def _checkpoint(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    tensors, state = content(1)
    checkpoints.save(1, {**tensors, "ema": tensors["model"]}, state)
    return checkpoints


def _put(checkpoint: Path, name: str, payload: bytes) -> None:
    """In the place of a file, and a manifest that fits."""
    (checkpoint / name).write_bytes(payload)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(checkpoint.iterdir())
        if path.name != "manifest.json"
    }
    facts = {"step": 1, "epoch": 0, "batch": 0, "samples": 0, "value": None, "files": files}
    (checkpoint / "manifest.json").write_bytes(encoded(facts))


def _plain(held: Any) -> bool:
    if isinstance(held, dict):
        return all(_plain(part) for pair in held.items() for part in pair)
    if isinstance(held, list | tuple | set):
        return all(map(_plain, held))
    return held is None or type(held) in (torch.Tensor, str, bytes, int, float, bool)


NUMBER = 60


@pytest.mark.parametrize("name", ["model", "ema", "training"])
def test_no_file_of_a_checkpoint_runs_code(memory: Path, watch: type[Watch], little_memory: None, name: str) -> None:
    canary = memory / "canary"
    checkpoints = _checkpoint(memory / "checkpoints")
    path = checkpoints.all()[0]
    found, _ = checkpoints.newest()
    assert found is not None
    count = 0
    plain = []
    for what, payload in payloads(canary, content(1)[0]["model"]):
        _put(path, f"{name}.pt", payload)
        told = None
        watch.seen.clear()
        watch.is_on = True
        try:
            held = Checkpoints(path.parent).load("last").tensors(name)
        except CheckpointError as error:
            told = error
        finally:
            watch.is_on = False
        assert watch.seen == [], what
        assert not canary.exists(), what
        if told is None:
            assert _plain(held), what
            plain.append(what)
        else:
            assert (told.exit_code, told.where) == (4, str(path / f"{name}.pt")), what
        count += 1
    assert count >= NUMBER
    assert plain == ["encoding that is a module", "strings that name code"]


def test_no_file_of_weights_runs_code(memory: Path, watch: type[Watch], little_memory: None) -> None:
    canary, file = memory / "canary", memory / "weights.pt"
    model = MLP(3, (4,))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count = 0
    for what, payload in payloads(canary, model.state_dict()):
        file.write_bytes(payload)
        watch.seen.clear()
        watch.is_on = True
        try:
            with pytest.raises(CheckpointError) as caught:
                load_weights(model, file)
        finally:
            watch.is_on = False
        assert watch.seen == [], what
        assert caught.value.exit_code == 4
        assert not canary.exists(), what
        count += 1
    assert count >= NUMBER
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "name", ["posix.system", "builtins.eval", "stack_global", "hidden by a pop", "legacy container", "torch.hub.load"]
)
def test_the_code_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(dict(payloads(tmp_path / "canary", {}))[name])
    called = name if "." in name else "posix.system"
    with pytest.raises(CheckpointError, match=rf"model\.pt contains code \({called}\); refused; nothing was run"):
        load_weights(MLP(3, (4,)), file)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two records of one name", "two records of the archive have one name"),
        ("compressed records", "the archive is compressed"),
        ("name that leads out", "a name that leads elsewhere"),
        ("absolute name", "a name that leads elsewhere"),
        ("archive of TorchScript", "TorchScript"),
        ("storage of 10 GB", "record size"),
        ("tuples in tuples, as a key", "nested more than 200 times"),
    ],
)
def test_an_archive_of_another_form_is_told_as_what_it_is(tmp_path: Path, name: str, told: str) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(dict(payloads(tmp_path / "canary", {"w": torch.zeros(1)}))[name])
    with pytest.raises(CheckpointError) as caught:
        load(file)
    assert told in caught.value.found


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    for name in ("pipe.pt", "folder.pt", "loop.pt"):
        with pytest.raises(CheckpointError):
            load_weights(MLP(3, (4,)), tmp_path / name)
    with pytest.raises(CheckpointError):
        load_weights(MLP(3, (4,)), Path("/dev/zero"))


def test_honest_files_of_both_forms_load(tmp_path: Path) -> None:
    model = MLP(3, (4,))
    for legacy in (False, True):
        torch.save(model.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
        shutil.copy(tmp_path / "w.pt", tmp_path / "copy.pt")
        load_weights(model, tmp_path / "copy.pt")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2])
def test_files_with_bytes_changed_at_random_run_nothing_and_are_read_or_refused(
    memory: Path, watch: type[Watch], little_memory: None, seed: int
) -> None:
    """Ten thousand of each; no other exception, and no end of the process."""
    chance = random.Random(f"{os.environ.get('ASSAY_FAULTS_SEED', '1')} {seed}")
    canary, file = memory / "canary", memory / "weights.pt"
    stream = io.BytesIO()
    held = {
        "w": torch.arange(6.0).reshape(2, 3),
        "p": torch.nn.Parameter(torch.ones(3)),
        "n": [1, 2.5, None, (True, "x")],
    }
    torch.save(held, stream)
    originals = [stream.getvalue(), *(payload for _, payload in payloads(canary, {}) if payload)]
    for _ in range(10_000):
        content = bytearray(originals[0] if chance.random() < 0.7 else chance.choice(originals))
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            place = chance.randrange(len(content))
            content[place : place + chance.choice((0, 1, 1, 3))] = chance.choice(
                (chance.randbytes(1), b"", bytes(chance.choices(b"(.0123KMJRbtulh]})\x85\x86\x8aqQcX", k=3)))
            )
        file.write_bytes(content)
        watch.seen.clear()
        watch.is_on = True
        with suppress(CheckpointError):
            load(file)
        watch.is_on = False
        assert watch.seen == []
    assert not canary.exists()
