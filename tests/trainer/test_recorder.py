from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.store.journal import JOURNAL, Journal, read
from assay.trainer.recorder import Recorder
from assay.trainer.state import Progress


def test_a_record_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    recorder = Recorder(Journal(tmp_path / JOURNAL))
    for step in range(3):
        recorder.record("batch", Progress(epoch=1, step=step, samples=8 * step), {"loss": torch.tensor(0.5), "lr": 0.1})
        *_, last = read(tmp_path / JOURNAL)
        assert (last.id, last.phase, last.epoch, last.step, last.samples) == (step, "batch", 1, step, 8 * step)
        assert last.values == {"loss": 0.5, "lr": 0.1}


def test_numbers_of_any_kind_are_written_with_all_their_digits_and_in_their_order(tmp_path: Path) -> None:
    values = {
        "wide": torch.tensor(math.pi, dtype=torch.float64),
        "host": math.e,
        "whole": 3,
        "many": torch.tensor(7),
        "numpy": np.float64(0.1),
        "none": torch.tensor(math.nan),
        "large": math.inf,
        "low": torch.tensor(-math.inf),
        "parameter": torch.nn.Parameter(torch.tensor(0.25)),
    }
    Recorder(Journal(tmp_path / JOURNAL)).record("train", Progress(), values)
    (record,) = read(tmp_path / JOURNAL)
    assert list(record.values) == list(values)
    assert math.isnan(record.values.pop("none"))
    assert record.values == {
        "wide": math.pi,
        "host": math.e,
        "whole": 3.0,
        "many": 7.0,
        "numpy": 0.1,
        "large": math.inf,
        "low": -math.inf,
        "parameter": 0.25,
    }
    assert b'"whole":3.0' in (tmp_path / JOURNAL).read_bytes()


def test_a_window_of_one_step_holds_what_the_sums_of_it_would(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    alone, summed = (
        [
            record
            for record in read(
                assay.train(tiny({"logging.every": "1ba", "metrics": metrics}), quiet=True).folder.journal
            )
            if record.phase == "batch"
        ]
        for metrics in (["Accuracy"], ["F1", "Accuracy"])
    )
    assert len(alone) == len(summed) > 10
    for one, other in zip(alone, summed, strict=True):
        assert one.values == {name: pytest.approx(other.values[name], abs=1e-12) for name in one.values}
        assert set(one.values) == {"loss", "accuracy", "learning_rate"}
        assert other.values["f1"] >= 0
