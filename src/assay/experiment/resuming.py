"""A run taken up again from its newest checkpoint that verifies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from assay.errors import CheckpointError, RunBusyError
from assay.experiment.build import Built, build
from assay.experiment.changes import differences, refuse_inexact
from assay.experiment.findings import placed
from assay.experiment.training import Request, carry_out, describe, ending
from assay.store.journal import Journal, cut
from assay.store.lock import Lock
from assay.store.run_folder import RunFolder
from assay.trainer import snapshot
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.signals import Signals

__all__ = ["journal_position", "resume"]


def resume(run: RunFolder, request: Request) -> tuple[RunFolder, Built]:
    """Go on with a run from its newest checkpoint that verifies.

    Raises:
        RunBusyError: another process holds the run, or it is complete and is not asked for more epochs.
        CheckpointError: there are checkpoints and none can be used.
    """
    with Signals(interruptible=True) as signals:
        signals.last_words = lambda: f"{run.path} is as it was"
        lock = Lock(run.lock)
        try:
            return run, _resumed(run, request, signals)
        finally:
            lock.release()


def _resumed(run: RunFolder, request: Request, signals: Signals) -> Built:
    before, checked = run.read_config(), request.checked
    # These hold what was chosen, and the configuration says auto.
    chosen = ("host.device", "host.threads", "host.memory_format")
    changed = [change for change in differences(before, checked.complete) if change[0] not in chosen]
    with placed(checked):
        refuse_inexact(changed, request.allow_change)
    for key, old, new in changed:
        request.console.print(f"changed: {key}: {old!r} -> {new!r}", markup=False, highlight=False)
    built = build(checked)
    trainer = built.trainer
    checkpoint, faults = Checkpoints(run.checkpoints).newest()
    Checkpoints(run.checkpoints).clean()  # not before: where none can be used nothing is changed
    for fault in faults:
        request.console.print(f"warning: {fault}", markup=False, highlight=False)
    position = {"offset": 0, "next_id": 0}
    if checkpoint is not None:
        names = [name for name in ("model", "ema", "training") if checkpoint.has(name)]
        tensors = {name: checkpoint.tensors(name, trainer.device) for name in names}
        snapshot.restore(trainer, tensors, checkpoint.state)
        Checkpoints(run.checkpoints).relink(trainer.monitor.best_step, checkpoint.step)
        position = journal_position(checkpoint.state)
    if trainer.finished and run.read_status().get("state") == "completed":
        progress = trainer.progress
        raise RunBusyError(
            f"{run.path} is complete (epoch {progress.epoch} of {trainer.epochs}, step {progress.step})",
            hint="it stopped early; to go on: --set trainer.args.early_stopping.patience=N"
            if trainer.monitor.exhausted
            else "to go on, ask for more: --set trainer.args.epochs=N",
        )
    cut(run.path, position["offset"], position["next_id"])
    resumed = [*run.read_status().get("resumed", []), {"time": time.time(), "step": trainer.progress.step}]
    run.write_status("running", reason="", resumed=resumed)
    with ending(run):
        describe(run, checked, built, request)
        head = f"resumed {run.path} at step {trainer.progress.step}"
        head += "" if checkpoint else ", for it had no checkpoint yet"
        carry_out(run, Journal(run.journal, position["next_id"]), checked, built, request, signals, head)
    return built


def journal_position(state: Mapping[str, Any]) -> dict[str, int]:
    """Where a checkpoint says that the journal ended.

    Raises:
        CheckpointError: it does not say so.
    """
    position = state.get("journal")
    held = position if isinstance(position, dict) else {}
    offset, number = held.get("offset"), held.get("next_id")
    if not (type(offset) is int and type(number) is int and min(offset, number) >= 0):
        raise CheckpointError(
            "the checkpoint does not say where the journal ended",
            found=str(position)[:200],
            expected='{"offset": BYTES, "next_id": NUMBER} under "journal" in state.json',
        )
    return {"offset": offset, "next_id": number}
