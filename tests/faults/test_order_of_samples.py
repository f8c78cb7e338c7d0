"""However batches are loaded, and however often it is measured: the same samples, augmentation and weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

import tasks
from assay.store.run_folder import RunFolder
from killing import launched, outcome, trained

Way = tuple[str, int, int, bool, str]
"""How workers start, how many, batches that each prepares ahead, whether they live on, when it is measured."""

PREFETCH, MEASURED = (1, 2, 8), ("1ep", "3ba")
FEW: list[Way] = [("fork", 0, 2, False, "3ba")]
FEW += [
    ("fork", workers, ahead, live_on, MEASURED[number % 2])
    for number, (workers, ahead, live_on) in enumerate(itertools.product((1, 2, 4), PREFETCH, (False, True)))
]
FEW += [("forkserver", 1, 2, True, "1ep"), ("forkserver", 2, 8, True, "3ba"), ("forkserver", 4, 1, True, "1ep")]
FEW += [("spawn", 1, 2, True, "1ep"), ("spawn", 2, 8, True, "3ba")]
ALL: list[Way] = list(itertools.product(("fork", "forkserver"), (1, 2, 4), PREFETCH, (False, True), MEASURED))
ALL += list(itertools.product(("spawn",), (1, 2), PREFETCH, (False, True), MEASURED))


def measured(folder: Path, way: Way) -> dict[str, Any]:
    """Of every step what went into it and came out, and the weights at the end."""
    start, workers, ahead, lives_on, every = way
    loader = {"batch_size": 7, "workers": workers, "prefetch": ahead, "persistent": lives_on, "start_method": start}
    config = tasks.config(
        data={**tasks.config()["data"], "loader": {"args": loader}},
        trainer={"type": "unusual:Telling", "args": {"epochs": 2, "monitor": "min train/loss"}},
        metrics=["Accuracy"],
        validation={"every": every},
        checkpoints={"every": "100ep"},
    )
    trained(config, folder, allow=["tasks", "unusual"])
    run = launched(folder)
    assert run is not None
    records = map(orjson.loads, RunFolder(run).journal.read_bytes().splitlines())
    steps = [(record["step"], record["values"]) for record in records if record["phase"] == "batch"]
    weights = {name: held for name, held in outcome(folder).items() if name.startswith("last.model.")}
    assert len(steps) == 10
    assert len({values["inputs"] for _, values in steps}) == 10
    assert weights
    return {"steps": steps, **weights}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measured(tmp_path_factory.mktemp("plain"), ("fork", 0, 2, False, "1ep"))


@pytest.mark.slow
@pytest.mark.parametrize("way", FEW, ids=str)
def test_samples_augmentation_and_weights_are_the_same(way: Way, plain: dict[str, Any], tmp_path: Path) -> None:
    assert measured(tmp_path, way) == plain


@pytest.mark.nightly
@pytest.mark.parametrize("way", ALL, ids=str)
def test_so_they_are_in_every_way_to_load(way: Way, plain: dict[str, Any], tmp_path: Path) -> None:
    assert measured(tmp_path, way) == plain
