"""A run that goes on with another loss or monitor: what was the best is none for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay

Tiny = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("overrides", "allowed"),
    [
        (["loss.args.label_smoothing=0.9"], ["loss"]),
        (["trainer.args.monitor=max validation/accuracy"], ["trainer.args.monitor"]),
        (["trainer.args.monitor=max validation/loss"], ["trainer.args.monitor"]),
    ],
)
def test_a_best_value_of_another_measure_is_forgotten(
    project: Path, tiny: Tiny, overrides: list[str], allowed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny({"trainer.args.epochs": 4, "loss": {"type": "CrossEntropyLoss"}})
    config["trainer"]["args"]["monitor"] = "min validation/loss"
    run = assay.train(config, quiet=True, preflight=False)
    before = run.status["best"]
    capsys.readouterr()
    resume = {"resume": run.path, "allow_change": allowed, "preflight": False}
    again = assay.train(overrides=["trainer.args.epochs=6", *overrides], **resume)
    assert "warning: " in (shown := capsys.readouterr().out)
    assert "the best begins anew" in shown
    assert any("the best begins anew" in fault for fault in again.status["resumed"][-1]["faults"])
    best = again.status["best"]
    assert best["epoch"] >= 4
    assert best["value"] != before["value"]
    assert os.readlink(again.folder.checkpoints / "best") == f"step-{best['step']:08d}"
    assert assay.open(again.path).best[again.status["monitor"].split()[1]] == best["value"]
    # It is forgotten once: what comes after is of one measure.
    third = assay.train(resume=again.path, overrides=["trainer.args.epochs=7"], quiet=True)
    assert third.status["best"]["epoch"] in (best["epoch"], 6)
    assert not third.status["resumed"][-1]["faults"]


def test_a_scheduler_that_waits_for_a_plateau_begins_anew_with_another_measure(project: Path, tiny: Tiny) -> None:
    plateau = {"type": "torch.optim.lr_scheduler.ReduceLROnPlateau", "args": {"patience": 1, "factor": 0.5}}
    config = tiny({"trainer.args.epochs": 3, "schedulers": [{**plateau, "unit": "epoch"}]})
    config["trainer"]["args"]["monitor"] = "min validation/loss"
    run = assay.train(config, quiet=True, preflight=False)
    # In the new measure every value is far above the best of the old one, and they go down.
    override = 'loss={"type": "CrossEntropyLoss", "args": {"label_smoothing": 0.9}}'
    again = assay.train(
        resume=run.path,
        overrides=["trainer.args.epochs=7", override],
        allow_change=["loss"],
        quiet=True,
        preflight=False,
    )
    table = again.journal()
    rates = {float(rate) for rate in table["learning_rate"][table["phase"] == "train"]}
    losses = [float(loss) for loss in table["loss"][table["phase"] == "validation"]]
    assert max(losses[:3]) < min(losses[3:])
    assert losses[3:] == sorted(losses[3:], reverse=True)
    assert len(rates) == 1
