"""All that can be known of a run before it starts: whether it would, how large it is, what it will do."""

from __future__ import annotations

import math
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from assay.config.check import Checked
from assay.data.loaders.base import BaseLoader
from assay.data.samples import BatchKey
from assay.data.splits import Splits
from assay.errors import ConfigError, NonFiniteError, Problem, StorageError, room
from assay.experiment.build import listed, open_data
from assay.experiment.findings import placed
from assay.experiment.layers import first_line
from assay.experiment.real_batch import try_real_batch
from assay.experiment.rehearsal import Rehearsed, rehearse
from assay.schedulers.plan import Stretch, plan, stretches
from assay.trainer.default import DefaultTrainer
from assay.trainer.unsaved import unsaved
from assay.utils.devices import choose_device
from assay.utils.discreet import discreet_streams

__all__ = ["Preflight", "Report", "preflight", "report"]

_LOGGER_SECONDS = 5.0
_FEW = 16  # samples of validation and test, so that little is read before the run


@dataclass(frozen=True)
class Preflight:
    """A run that would start: its data, and what a step of it has shown."""

    checked: Checked
    data: Splits
    device: torch.device
    rehearsed: Rehearsed


@dataclass(frozen=True)
class Report:
    """The size and the course of a run, in samples, updates (steps), epochs and bytes.

    Args:
        flops_per_sample: of a forward pass; an addition and a multiplication are two.
        peak_memory: the most that the tensors of a training step hold at once, estimated.
        free_memory: of the device, now.
        checkpoint: bytes of one; `checkpoints_kept` of them lie on the disk at most, one being written included.
        learning_rate: the plan, in stretches that one scheduler holds.
        loggers: of each one, what keeps records from arriving, or an empty string.
        notes: what is worth knowing and keeps no run from starting.
    """

    model: str
    device: str
    parameters: int
    trainable: int
    flops_per_sample: int | None
    peak_memory: int | None
    free_memory: int
    samples: dict[str, int]
    batch_size: int
    batches_per_epoch: int
    epochs: int
    steps: int
    checkpoint: int
    checkpoints_kept: int
    free_disk: int
    folder: str
    learning_rate: list[Stretch]
    loggers: dict[str, str]
    notes: list[str] = field(default_factory=list)


def preflight(checked: Checked) -> Preflight:
    """Open the data, take a step on paper and hold real batches against loss and metrics.

    Raises:
        ConfigError: something does not fit; layers are named.
        DataError: the data is missing, damaged, or has targets out of range.
        StorageError: the folder of the runs cannot be written, or there is no room for one checkpoint.
    """
    with placed(checked):
        device = choose_device(checked.config.host.device)
    _probe(Path(checked.config.folder))
    data = open_data(checked)
    batches = {"train": _batch(data.train, data.train.batch_size or 1)}
    for split, loader in (("validation", data.validation), ("test", data.test)):
        if loader is not None:
            batches[split] = _batch(loader, _FEW)
    with placed(checked):
        _require_pairs(checked, batches["train"])
        rehearsed = rehearse(checked, data, batches, device)
    try_real_batch(checked, data.info, batches, rehearsed)
    _require_room(Path(checked.config.folder), rehearsed.state_bytes)
    return Preflight(checked, data, device, rehearsed)


def report(done: Preflight) -> Report:
    """What a person wants to know before the run."""
    checked, data, rehearsed, trainer = done.checked, done.data, done.rehearsed, done.rehearsed.trainer
    config = checked.config
    folder = _existing(Path(config.folder))
    loaders = {"train": data.train, "validation": data.validation, "test": data.test}
    made = Report(
        model=checked.components["model",].name,
        device=str(done.device),
        parameters=rehearsed.parameters,
        trainable=rehearsed.trainable,
        flops_per_sample=rehearsed.flops,
        peak_memory=rehearsed.peak_bytes,
        free_memory=_free_memory(done.device),
        samples={split: len(loader.samples) for split, loader in loaders.items() if loader is not None},
        batch_size=data.train.batch_size or 1,
        batches_per_epoch=len(data.train),
        epochs=math.ceil(trainer.updates / len(data.train)),
        steps=trainer.updates,
        checkpoint=rehearsed.state_bytes,
        checkpoints_kept=max(2, config.checkpoints.keep_last) + config.checkpoints.keep_best + 1,
        free_disk=shutil.disk_usage(folder).free,
        folder=config.folder,
        learning_rate=_learning_rate(done),
        loggers=_loggers(checked),
    )
    made.notes.extend(f"{place} is a {what}" for place, what in unsaved(trainer).items())
    return _with_notes(made)


def _with_notes(made: Report) -> Report:
    if made.peak_memory is None:
        made.notes.append("the step depends on the numbers in its tensors, so its memory is not estimated")
    elif made.peak_memory > made.free_memory:
        made.notes.append(
            "a training step may need more memory than is free; trainer.args.accumulate takes it in smaller pieces"
        )
    if made.checkpoint * made.checkpoints_kept > made.free_disk:
        made.notes.append("the checkpoints that are kept need more than the disk has free")
    unreached = [name for name, trouble in made.loggers.items() if trouble]
    if unreached:
        made.notes.append(
            f"the run would go on without {', '.join(unreached)}, and `assay sync` sends what is missing later"
        )
    return made


def _batch(loader: BaseLoader, size: int) -> Any:
    """The first batch of the first epoch, or the beginning of it; no worker is started."""
    return loader.samples.fetch(BatchKey(0, np.asarray(loader.order(0))[:size]))


def _require_pairs(checked: Checked, batch: Any) -> None:
    """Trainers that take the step of `DefaultTrainer` take pairs."""
    trainer = checked.components["trainer",].obj
    own = getattr(trainer, "train_step", None) is not DefaultTrainer.train_step
    if own or (isinstance(batch, (tuple, list)) and len(batch) == 2):
        return
    size = f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else ""
    raise ConfigError.of(
        Problem(
            "the samples are no pairs (input, target)",
            key="data.dataset",
            found=f"a batch that is a {type(batch).__name__}{size}",
            hint="return pairs from the dataset, or give the trainer a train_step and evaluate_step of its own",
        )
    )


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def _probe(folder: Path) -> None:
    """A file that is made and removed shows more than permissions do: a full or read-only disk, a quota."""
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(folder), prefix=".assay-"):
            pass
    except OSError as error:
        raise StorageError.writing(folder, error) from error


def _require_room(folder: Path, needed: int) -> None:
    """Told now, and not at the first save, hours from here."""
    place = _existing(folder)
    if shutil.disk_usage(place).free < needed:
        raise StorageError(
            f"there is no room for one checkpoint of this run where {str(folder)!r} is or would be",
            hint="free some space, or choose another `folder` in the configuration",
            found=room(place, needed),
        )


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _learning_rate(done: Preflight) -> list[Stretch]:
    trainer = done.rehearsed.trainer
    entries = trainer.parts.schedulers
    # Without schedulers that count batches every epoch is one step.
    by_epoch = all(entry.unit == "epoch" for entry in entries)
    try:
        rows = plan(
            entries,
            trainer.optimizer.param_groups,
            trainer.optimizer.defaults,
            epochs=math.ceil(trainer.updates / len(done.data.train)),
            steps_per_epoch=1 if by_epoch else len(done.data.train),
            max_steps=None if by_epoch else trainer.updates,
            direction=trainer.monitor.direction,
        )
    except NonFiniteError as error:
        message = error.message.partition(" at step ")[0] + " before the end of the run"
        problem = Problem(message, key=error.where, expected=error.expected, hint=error.hint)
        raise ConfigError.of(problem) from error
    return stretches(rows)


def _loggers(checked: Checked) -> dict[str, str]:
    """Ask every logger at the same time; one that does not answer is not waited for."""
    answers: dict[str, str] = {}

    def ask(name: str, number: int) -> None:
        try:
            listed(checked, "loggers")[number].build().reach()
            answers[name] = ""
        except Exception as error:  # whatever it is, it is the answer
            answers[name] = first_line(error)

    asked: dict[str, threading.Thread] = {}
    with discreet_streams():
        for number, bound in enumerate(listed(checked, "loggers")):
            name = bound.name if bound.name not in asked else f"{bound.name} ({number})"
            asked[name] = threading.Thread(target=ask, args=(name, number), daemon=True)
            asked[name].start()
        for thread in asked.values():
            thread.join(_LOGGER_SECONDS)
    return {name: answers.get(name, f"no answer in {_LOGGER_SECONDS:.0f} s") for name in asked}
