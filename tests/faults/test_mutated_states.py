"""Checkpoints whose sums are right and whose content is not what a trainer wrote: refused with exit 4, or harmless."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

import assay
from assay.errors import CheckpointError, DataError, RunBusyError
from assay.store.manifest import encoded
from assay.utils.digest import sha256_of

pytestmark = pytest.mark.slow

JUNK: dict[str, Any] = {"text": "text", "enormous": 2**62, "object": {"a": {"b": 1}}}
GONE = object()


def _resealed(path: Path) -> None:
    """The manifest made anew, as somebody would who knows how."""
    facts = orjson.loads((path / "manifest.json").read_bytes())
    del facts["sha256"]
    for name, held in facts["files"].items():
        held.update(bytes=(path / name).stat().st_size, sha256=sha256_of(path / name))
    (path / "manifest.json").write_bytes(encoded(facts))


def _put(held: dict[str, Any], key: str, value: Any) -> None:
    if value is GONE:
        del held[key]
    else:
        held[key] = value


def _states(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    state = orjson.loads((path / "state.json").read_bytes())
    for key in state:
        for name, value in {"gone": GONE, **JUNK}.items():

            def act(key: str = key, value: Any = value) -> None:
                changed = orjson.loads((path / "state.json").read_bytes())
                _put(changed, key, value)
                (path / "state.json").write_bytes(orjson.dumps(changed))

            yield f"state.{key} {name}", act
    for name, content in {
        "a list": b"[]",
        "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "nothing": b"",
        "no UTF-8": b"\xff\xfe{}",
    }.items():
        yield f"state.json {name}", lambda content=content: (path / "state.json").write_bytes(content)


def _trainings(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    training = torch.load(path / "training.pt", weights_only=True)
    places = [(key, None) for key in training]
    places += [("progress", key) for key in training["progress"]] + [("monitor", key) for key in training["monitor"]]
    for outer, inner in places:
        for name, value in {"gone": GONE, **JUNK}.items():

            def act(outer: str = outer, inner: str | None = inner, value: Any = value) -> None:
                changed = torch.load(path / "training.pt", weights_only=True)
                _put(changed[outer], inner, value) if inner else _put(changed, outer, value)
                torch.save(changed, path / "training.pt")

            yield f"training.{outer}{f'.{inner}' if inner else ''} {name}", act

    def reshaped() -> None:
        held = torch.load(path / "model.pt", weights_only=True)
        torch.save({name: torch.zeros(3) for name in held}, path / "model.pt")

    yield "weights of another shape", reshaped
    yield "weights of another model", lambda: torch.save({"w": torch.zeros(1)}, path / "model.pt")
    yield "weights that are a list", lambda: torch.save([1, 2], path / "model.pt")
    yield "a training that is a list", lambda: torch.save([1, 2], path / "training.pt")


# Nothing hangs on these, or a run may have such a value.
HARMLESS = ("state.threads", "state.fingerprint gone", "training.scaler", "training.monitor", "training.progress")
HARMLESS += ("training.attributes object",)  # of an object that is not there, as after a change that was allowed


def test_a_state_that_was_changed_and_sealed_again_is_refused_and_never_a_traceback(
    project: Path, memory: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    changes = {"data.loader.args.batch_size": 256, "trainer.args.epochs": 1, "logging": {"system": None}}
    made = assay.train(tiny({**changes, "folder": str(memory / "made")}), preflight=False, quiet=True).path
    trial = memory / "trial"
    checkpoint = trial / "checkpoints" / "step-00000006"
    shutil.copytree(made, trial, symlinks=True)
    mutations = [*_states(checkpoint), *_trainings(checkpoint)]
    harmless = []
    for what, mutate in mutations:
        shutil.rmtree(trial)
        shutil.copytree(made, trial, symlinks=True)
        mutate()
        _resealed(checkpoint)
        journal = (trial / "journal.jsonl").read_bytes()
        try:
            assay.train(resume=trial, overrides=["trainer.args.epochs=2"], preflight=False, quiet=True)
        except CheckpointError:
            assert (trial / "journal.jsonl").read_bytes() == journal, what
        except DataError:
            assert what == "state.fingerprint object"
        except RunBusyError:
            assert what == "training.progress.epoch enormous"
        else:
            harmless.append(what)
    assert len(mutations) > 120
    assert [what for what in harmless if not what.startswith(HARMLESS)] == []
    assert [what for what in harmless if what.startswith("training") and what.endswith("gone")] == []
