"""A run taken up again from its newest checkpoint that verifies."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from assay.config.check import Checked
from assay.data.fingerprint import order_digest
from assay.data.splits import Splits
from assay.errors import CheckpointError, ConfigError, RunBusyError
from assay.experiment.build import Built, build, open_data
from assay.experiment.changes import Changes, changes, differences, keys_of, refuse_inexact, unneeded
from assay.experiment.findings import placed
from assay.experiment.fingerprint import fingerprint, holds_same, outside_values
from assay.experiment.following import follow
from assay.experiment.training import Request, carry_out, describe, ending
from assay.store.environment import changed_code
from assay.store.journal import Journal, cut, digest
from assay.store.lock import Lock
from assay.store.run_folder import RunFolder
from assay.trainer import snapshot
from assay.trainer.base import BaseTrainer
from assay.trainer.checkpoint import Checkpoint, Checkpoints
from assay.trainer.optimizer import change_arguments
from assay.trainer.signals import Signals
from assay.trainer.unsaved import unsaved
from assay.utils.atomic import remove_unfinished, storing
from assay.utils.devices import choose_device

__all__ = ["journal_position", "resume"]


def resume(run: RunFolder, request: Request) -> tuple[RunFolder, Built]:
    """Go on with a run from its newest checkpoint that verifies.

    Raises:
        RunBusyError: another process holds the run, or it is complete and is not asked for more epochs.
        CheckpointError: there are checkpoints and none can be used.
    """
    with request.strategy.signals() as signals:
        signals.last_words = lambda: f"{run.path} is as it was"
        lock = Lock(run.lock) if request.strategy.is_first else None
        try:
            return run, _resumed(run, request, signals)
        finally:
            if lock is not None:
                lock.release()


def _resumed(run: RunFolder, request: Request, signals: Signals) -> Built:
    checked = as_the_run(run, request.checked, request.console)
    is_as_written = run.config not in run.unsealed()
    changed = _changed(run.read_config(), checked)
    if is_as_written:
        with placed(checked):
            refuse_inexact(changed, request.allow_change)
    strategy = request.strategy
    data: list[Splits] = []
    strategy.on_first(lambda: data.append(open_data(checked)))
    built = build(checked, data[0] if data else None, strategy)
    trainer = built.trainer
    checkpoint, faults = strategy.on_first(Checkpoints(run.checkpoints).newest)
    built.fingerprint = fingerprint(checked, built, request.allowed.root)
    found = Changes(changed)
    if checkpoint is not None:
        found = against(checkpoint.state.get("fingerprint"), checked, built, request.allowed.root)
        if not (is_as_written or found.unknown):
            # Changed by hand, or by a fault of the disk: the checkpoint knows what it was made with.
            changed = _changed(checkpoint.state["fingerprint"].get("config", {}), checked)
        found.config = changed
        with placed(checked):
            refuse_inexact([*found.config, *found.outside], request.allow_change)
        found.lost = not_kept(trainer, checkpoint.state)
        found.refuse(request.allow_change, request.require_exact)
    notes = [
        f"note: --allow-change {key}: it has not changed"
        for key in _unneeded(run, checked, built, found, request.allow_change)
    ]
    if strategy.is_first:
        _tidy(run, request.console)
        faults += _of_journal(run, checkpoint)
    _say(request.console, *notes, *found.lines(), *(f"warning: {fault}" for fault in faults))
    position = {"offset": 0, "next_id": 0}
    if checkpoint is not None:
        position = _restored(trainer, checkpoint, found)
        anew = _judged_anew(trainer, checkpoint, found)
        _say(request.console, *(f"warning: {fault}" for fault in anew))
        faults += anew
    if checkpoint is not None and strategy.is_first:
        with storing(run.checkpoints):
            if trainer.monitor.since == checkpoint.step:
                Checkpoints(run.checkpoints).forget_best()
            Checkpoints(run.checkpoints).relink(trainer.monitor.best_step, checkpoint.step)
    _require_unfinished(run, trainer, checkpoint)
    if not strategy.is_first:
        follow(run, checked, built, signals)
        return built
    cut(run.path, position["offset"], position["next_id"])
    step, level = trainer.progress.step, found.level or "none"
    entry = {"time": time.time(), "step": step, "level": level, "differences": found.lines(), "faults": faults}
    run.write_status("running", reason="", resumed=[*run.read_status().get("resumed", []), entry])
    for fault in faults:
        run.write_log(f"warning: {fault}")
    run.write_log(f"resumed at step {step}: {found.statement()}")
    with ending(run):
        if found.code and checkpoint is not None:
            keep_code(run, checkpoint.path.name)
        describe(run, checked, built, request)
        head = f"resumed {run.path} at step {step}"
        head += f"; {found.statement()}" if checkpoint else ", for it had no checkpoint yet"
        carry_out(run, Journal(run.journal, position["next_id"]), checked, built, request, signals, head)
    return built


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _restored(trainer: BaseTrainer, checkpoint: Checkpoint, found: Changes) -> dict[str, int]:
    """Let the trainer stand where the checkpoint was saved, with the arguments that have changed since. Returns where
    the journal ended.

    Raises:
        CheckpointError: what it holds does not fit, or says another step than its manifest.
    """
    names = [name for name in ("model", "ema", "training") if checkpoint.has(name)]
    tensors = {name: trainer.strategy.read(checkpoint, name, trainer.device) for name in names}
    configured = [
        {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
        for group in trainer.optimizer.param_groups
    ]
    snapshot.restore(trainer, tensors, checkpoint.state)
    change_arguments(trainer.optimizer, trainer.schedulers, configured, [*found.config, *found.outside])
    if trainer.progress.step != checkpoint.step:
        other = f"step {trainer.progress.step}"
        raise CheckpointError(f"{checkpoint.path.name} holds another step than its manifest says", found=other)
    return journal_position(checkpoint.state)


def _judged_anew(trainer: BaseTrainer, checkpoint: Checkpoint, found: Changes) -> list[str]:
    """Where values of the monitored name are another measure now, nothing was the best yet; why, in words."""
    why = other_measure(trainer, found.config)
    if not why:
        return []
    trainer.monitor.begin_anew(checkpoint.step)
    trainer.schedulers.begin_anew()
    trainer.progress.take_monitored()
    trainer.progress.best = {}
    return [f"{why}: what was the best is no measure for it, and the best begins anew"]


def _require_unfinished(run: RunFolder, trainer: BaseTrainer, checkpoint: Checkpoint | None) -> None:
    """
    Raises:
        CheckpointError: the run is complete and its checkpoints are gone.
        RunBusyError: it is complete, and is not asked for more.
    """
    if not trainer.strategy.on_first(lambda: run.read_status().get("state") == "completed"):
        return
    if checkpoint is None:
        raise CheckpointError(
            f"{run.path} is complete, and its checkpoints are gone", found=f"{run.checkpoints} is empty"
        )
    if trainer.finished:
        progress = trainer.progress
        raise RunBusyError(
            f"{run.path} is complete (epoch {progress.epoch} of {trainer.epochs}, step {progress.step})",
            hint="it stopped early; to go on: --set trainer.args.early_stopping.patience=N"
            if trainer.monitor.exhausted
            else "to go on, ask for more: --set trainer.args.epochs=N",
        )


def _changed(before: Mapping[str, Any], checked: Checked) -> list[tuple[str, Any, Any]]:
    # These hold what was chosen, and the configuration says auto: the fingerprint tells what became of them.
    chosen = ("host.device", "host.threads", "host.memory_format")
    return [change for change in differences(before, checked.complete) if change[0] not in chosen]


def _unneeded(run: RunFolder, checked: Checked, built: Built, found: Changes, allowed: Sequence[str]) -> list[str]:
    """What was allowed to change and has not."""
    if not allowed:
        return []
    keys = [key for config in (run.read_config(), checked.complete) for key in keys_of(config)]
    facts = [name for group in ("software", "machine", "arithmetic") for name in built.fingerprint[group]]
    changed = [key for key, *_ in (*found.config, *found.outside, *found.software, *found.host)]
    changed += ["data"] * bool(found.data or found.order) + ["code"] * bool(found.code)
    return unneeded(allowed, keys, [*facts, "data", "code"], changed)


def other_measure(trainer: BaseTrainer, changed: Sequence[tuple[str, Any, Any]]) -> str:
    """Why values of the monitored name are not those of before; empty where they are."""
    name = trainer.monitor.name
    for key, before, after in changed:
        if key == "trainer.args.monitor":
            return f"{key} was {before!r} and is {after!r}"
        section = "loss" if name.split("/")[1] == "loss" else "metrics"
        if f"{key}.".startswith(f"{section}."):
            return f"{key} has changed, and {name} is another measure"
    return ""


def not_kept(trainer: BaseTrainer, state: Mapping[str, Any]) -> list[str]:
    """What a checkpoint does not hold although steps may depend on it.

    Raises:
        CheckpointError: it does not say what it does not hold.
    """
    names = state.get("not_held")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise CheckpointError(
            "the checkpoint does not say what it does not hold",
            found=str(names)[:200],
            expected='a list of names under "not_held" in state.json',
        )
    return [f"{name} is in no checkpoint" for name in sorted({*names, *unsaved(trainer)})]


def _tidy(run: RunFolder, console: Console) -> None:
    """What a kill left goes; not before it is known that there is something to go on with."""
    with storing(run.checkpoints):
        Checkpoints(run.checkpoints).clean()
        for folder in (run.path, run.media):
            remove_unfinished(folder)
    try:
        run.read_status()
    except (OSError, ValueError, TypeError) as error:  # a loss of power may have emptied it, and nothing hangs on it
        _say(console, f"warning: {run.status} is damaged ({error}) and is written anew")
        run.write_status("interrupted")


def as_the_run(run: RunFolder, checked: Checked, console: Console) -> Checked:
    """The configuration, with the threads and the memory layout of the run where it leaves them open: another number of
    threads gives other bits.
    """
    host, held = checked.config.host, run.read_config().get("host", {})
    update: dict[str, Any] = {}
    if host.threads is None and type(held.get("threads")) is int:
        update["threads"] = held["threads"]
        if (here := torch.get_num_threads()) != held["threads"]:
            told = f"threads: {held['threads']}, as in the run (this process would have taken {here})"
            _say(console, told)
    if host.memory_format == "auto" and held.get("memory_format") in ("contiguous", "channels_last"):
        update["memory_format"] = held["memory_format"]
    place = checked.places.get(("host", "device"))
    if place is not None and Path(place.file) == run.config:  # what was chosen there may not be here
        try:
            choose_device(host.device)
        except ConfigError:
            update["device"] = "auto"
    config = checked.config.model_copy(update={"host": host.model_copy(update=update)})
    return replace(checked, config=config)


def against(held: Any, checked: Checked, built: Built, root: Path) -> Changes:
    """What differs from the fingerprint of a checkpoint.

    Raises:
        CheckpointError: it is none.
    """
    found = changes(held, built.fingerprint)
    if found.unknown:
        return found
    code, outside, order = (held.get(name, {}) for name in ("code", "outside", "order"))
    found.code = changed_code(root, code)
    for key, (text, value) in outside_values(checked).items():
        if isinstance(outside.get(key), str) and not holds_same(outside[key], value):
            found.outside.append((key, text, "another value"))
    epoch = order.get("epoch") if isinstance(order, dict) else None
    if type(epoch) is int and not found.data:
        found.order = order.get("digest") != order_digest(built.data.train.order(epoch))
    return found


def keep_code(run: RunFolder, name: str) -> None:
    """The sources that the run had until a checkpoint stay beside those that it goes on with."""
    kept = run.path / f"code.until-{name}"
    if run.code.is_dir() and not kept.exists():
        run.code.rename(kept)


def _of_journal(run: RunFolder, checkpoint: Checkpoint | None) -> list[str]:
    """That the part of the journal which stays is not what it was when the checkpoint was saved, in words."""
    position = checkpoint.state.get("journal", {}) if checkpoint else {}
    try:
        if checkpoint is None or digest(run.journal, position["offset"]) == position["sha256"]:
            return []
    except (OSError, KeyError, TypeError):  # told by `journal_position` and `cut`
        return []
    return [
        f"{run.journal.name} was changed after {checkpoint.path.name} was saved, so its records may not be what "
        f"was measured; see: assay verify {run.path}"
    ]


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
