"""What the loop leaves behind: records, checkpoints, status, and what the terminal shows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assay.config.schema import Checkpoints as CheckpointSettings
from assay.config.schema import Logging
from assay.data.fingerprint import order_digest
from assay.errors import CheckpointError, Interrupted, NonFiniteError, StorageError
from assay.model.accumulators import read_numbers
from assay.model.metrics.collection import MetricSet
from assay.model.metrics.reading import Reading
from assay.store.journal import Journal
from assay.store.run_folder import RunFolder
from assay.store.samples import append_sample
from assay.trainer import snapshot
from assay.trainer.attachments import checked, write_content
from assay.trainer.batches import first_images
from assay.trainer.checkpoint import Checkpoint, Checkpoints
from assay.trainer.display import Display
from assay.trainer.finite import not_finite
from assay.trainer.guard import require_finite
from assay.trainer.measured import measurements
from assay.trainer.media import write_histograms, write_images, write_matrix
from assay.trainer.recorder import Recorder, by_name
from assay.trainer.signals import Signals, named
from assay.trainer.state import Progress, due
from assay.trainer.strategy import Strategy
from assay.utils.atomic import read_json, storing

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["Writer"]

_PATIENCE = 3
_LOOK = 10.0  # seconds: how often a device that no step waits for is asked whether its numbers are finite


class Writer:
    """Writes for the trainer, at the moments that the loop gives.

    Args:
        run: the folder of the run.
        journal: its journal, open.
        checkpoints: where checkpoints go.
        settings: the sections `logging` and `checkpoints` of the configuration.
        display: what the terminal shows.
        signals: entered; a signal that came is answered after the checkpoint.
        labels: names of the classes, for matrices.
    """

    def __init__(
        self,
        run: RunFolder,
        journal: Journal,
        checkpoints: Checkpoints,
        settings: tuple[Logging, CheckpointSettings],
        display: Display,
        signals: Signals,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.run, self.journal, self.checkpoints = run, journal, checkpoints
        self.logging, self.saving = settings
        self.display, self.signals, self.labels = display, signals, labels
        self.recorder = Recorder(journal)
        self.fingerprint: Mapping[str, Any] = {}
        """What every checkpoint says that it was made with."""
        self._mark = (time.monotonic(), 0)
        self._before = float(run.read_status().get("seconds", 0.0))
        self._started = self._looked = time.monotonic()
        self._warned: set[str] = set()
        self._never_finite: set[str] = set()
        self._refused = 0  # saves in a row
        self._described: set[str] = set()  # names that measurements.json has

    def begin(self, trainer: BaseTrainer) -> None:
        """Before the first step: a mask of -inf is not finite by intention, and stays so."""
        self._never_finite = set(trainer.strategy.union(not_finite(snapshot.take(trainer)[0])))
        self.checkpoints.since, self.checkpoints.tell = trainer.monitor.since, self._warn
        self._retain()

    def _retain(self) -> None:
        """A kill between the last save and the removal of what it replaced has left one checkpoint too many."""
        with storing(self.checkpoints.folder):
            self.checkpoints.retain()

    def after_step(self, trainer: BaseTrainer, readings: Sequence[Reading]) -> None:
        """Count, and record the window of steps if it is due."""
        window = trainer.metrics.get("batch")
        if window is not None:
            progress = trainer.progress
            is_due = due(self.logging.every, progress, False)
            if is_due and len(readings) == 1 and window.is_free and not window.count and not progress.attached:
                self.recorder.step(progress, readings[0], learning_rates(trainer))
            else:
                for reading in readings:
                    window.add(reading)
                if is_due:
                    values = window.merged().scalars() | by_name(learning_rates(trainer))
                    media = trainer.attachments.take(progress.attached, "batch")
                    self.recorder.record("batch", progress, values, media, on_host=window.reads)
                    window.reset()
        self.display.step(trainer.progress)
        if trainer.flag is not None and self.display.stepped - self._looked > _LOOK:
            self._looked = self.display.stepped
            require_finite(trainer)

    def record_epoch(self, trainer: BaseTrainer, last: bool) -> None:
        """Read the sums of the epoch, and write them if epochs are due."""
        every = self.logging.every
        write = last or every.unit == "ba" or due(every, trainer.progress, True)
        self.record(trainer, "train", trainer.metrics["train"].merged(), write=write)

    def record(
        self, trainer: BaseTrainer, phase: str, metrics: MetricSet, at: Progress | None = None, write: bool = True
    ) -> dict[str, float]:
        """Read what was measured in one phase, write it, and return it by its full names.

        Raises:
            NonFiniteError: the training loss is not finite (found here where the device did not tell at the step).
        """
        self.recorder.flush()
        require_finite(trainer)
        progress = at or trainer.progress
        scalars: dict[str, Tensor | float] = dict(metrics.scalars())
        if phase == "train":
            scalars |= by_name(learning_rates(trainer))
        values = read_numbers(scalars)
        if phase == "train" and not math.isfinite(values["loss"]):
            raise NonFiniteError(
                f"the training loss of epoch {progress.epoch} is {values['loss']}",
                hint="lower the learning rate, or clip the gradient (`trainer.args.clip`)",
            )
        if write:
            with storing(self.run.media):
                media = self._media(trainer, phase, metrics, progress)
            self.recorder.record(phase, progress, values, media)
            self._describe(trainer)
        full = {f"{phase}/{name}": value for name, value in values.items()}
        for name, value in full.items():
            if not math.isfinite(value) and name not in self._warned:
                self._warned.add(name)
                what = ""
                if name == trainer.monitor.name:
                    what = ", which chooses the best; such a value is no improvement, for early stopping too"
                self.display.note(f"warning: {name} is {value} at step {progress.step}{what}")
        if at is None:
            trainer.progress.last |= full
            if phase == "test":
                trainer.progress.tested_step = progress.step
        return full

    def _describe(self, trainer: BaseTrainer) -> None:
        """Tell of the values that only steps give; what measures them is known when the first are there."""
        facts = measurements(trainer)
        if not facts.keys() <= self._described:
            described = read_json(self.run.measurements) if self.run.measurements.is_file() else {}
            self.run.write_measurements({**described, **facts})
            self._described |= facts.keys()

    def after_update(
        self, trainer: BaseTrainer, measured: Sequence[str], *, epoch: int, improved: bool, save: bool
    ) -> None:
        """Save and show what the update led to.

        Raises:
            Interrupted: a signal came and the state is saved.
        """
        self.recorder.flush(wait=False)
        signal = self.signals.received
        if save or improved or signal:
            self.save(trainer, measured, improved)
        if measured:
            self._show(trainer, measured, epoch, improved)
        # One that came while the checkpoint was written, or while an evaluation was shown, is answered too.
        if signal or ((save or improved) and not self._refused and self.signals.received):
            raise self.interrupted(trainer)

    def interrupted(self, trainer: BaseTrainer) -> Interrupted:
        """What ends a run whose state is saved."""
        number = self.signals.received
        broken = f", in the {trainer.progress.pending[0]} after it" if trainer.progress.pending else ""
        return Interrupted.by(
            number,
            f"stopped by {named(number)} after step {trainer.progress.step}{broken}; everything is saved",
            f"assay train --resume {self.run.path}",
        )

    def stopped_at_once(self) -> str:
        """What a second signal leaves, and the status of it: the step that goes on may be far from its end."""
        last = self.checkpoints.all()[-1:]
        kept = f"{last[0].name} is the last checkpoint" if last else "there is no checkpoint yet"
        self.run.write_status("interrupted", reason=f"stopped at once by a second signal; {kept}")
        return f"{kept}; go on from it with: assay train --resume {self.run.path}"

    def save(self, trainer: BaseTrainer, measured: Sequence[str], best: bool) -> None:
        """Write a checkpoint; one with numbers that are not finite is never written.

        The disk may refuse twice in a row: it is told, and the training goes on with the checkpoint before.

        Raises:
            NonFiniteError: a weight, a buffer or the optimizer's state is not finite.
            StorageError: the disk refused for the third time, or the run is about to end.
        """
        require_finite(trainer)
        tensors, state = self.taken(trainer)
        for name, kind in trainer.not_held.items():
            if name not in self._warned:
                self._warned.add(name)
                how = "keep it in numbers, tensors or lists, or give it state_dict, load_state_dict"
                if name.startswith("data."):
                    how = "draw from the generators of python, NumPy and torch, which are seeded for each sample"
                self.display.note(
                    f"warning: {name} ({kind}) changes in training and cannot be saved; where steps depend on it a "
                    f"resume is not exact: {how}"
                )
        state["not_held"] = sorted(trainer.not_held)
        order = order_digest(trainer.parts.train_data.order(trainer.progress.epoch))
        state["fingerprint"] = {**self.fingerprint, "order": {"epoch": trainer.progress.epoch, "digest": order}}
        self.recorder.flush()
        progress, monitor = trainer.progress, trainer.monitor
        value = progress.last.get(monitor.name, math.nan)
        judged = monitor.name.partition("/")[0] in measured and math.isfinite(value)
        facts = {name: getattr(progress, name) for name in ("epoch", "batch", "samples")}
        facts["monitor"] = f"{monitor.direction} {monitor.name}"
        try:
            self.journal.sync()
            state["journal"] = {
                "offset": self.journal.offset,
                "next_id": self.journal.next_id,
                "sha256": self.journal.digest(),
            }
            with trainer.strategy.parts(tensors) as parts:
                self.checkpoints.save(progress.step, parts, state, value if judged else None, best=best, **facts)
        except StorageError as error:
            self._refused += 1
            if self._refused == _PATIENCE or trainer.finished or self.signals.received:
                raise
            room = f" ({error.found})" if error.found else ""
            kept = f"{error.hint.partition('; ')[2]}; " if "; " in error.hint else ""
            told = f"warning: {error.message}{room}; {kept}training goes on ({self._refused} of {_PATIENCE})"
            self._warn(told.removeprefix("warning: "))
        else:
            self._refused = 0

    def _warn(self, text: str) -> None:
        self.display.note(f"warning: {text}")
        self.run.try_log(f"warning: {text}")  # the terminal has it

    def taken(self, trainer: BaseTrainer) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that has a state; what the processes hold of it is looked at by all of them.

        Raises:
            NonFiniteError: a weight, a buffer or the optimizer's state is not finite.
        """
        tensors, state = snapshot.take(trainer)
        bad = [name for name in trainer.strategy.union(not_finite(tensors)) if name not in self._never_finite]
        if bad:
            raise NonFiniteError(
                f"{bad[0]} is not finite at step {trainer.progress.step}; no checkpoint was written",
                found=", ".join(bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else ""),
                hint="resume from the last checkpoint with a lower learning rate",
            )
        return tensors, state

    def best(self, trainer: BaseTrainer) -> tuple[Mapping[str, Tensor], Progress]:
        """The weights that the best value was measured with (a moving average, where there is one), and where that was.

        Where a full disk has refused the best, it is told, and the best of those that were saved takes its place, or
        the last where none was.
        """
        checkpoint, at = trainer.strategy.share(self.best_checkpoint(trainer))  # the first process has it
        return evaluated_weights(checkpoint, trainer.device, trainer.strategy), at

    def best_checkpoint(self, trainer: BaseTrainer) -> tuple[Checkpoint, Progress]:
        checkpoint = self.checkpoints.load("best" if (self.checkpoints.folder / "best").is_symlink() else "last")
        monitor = trainer.monitor
        if checkpoint.step == monitor.best_step:
            samples = trainer.progress.best_samples
            at = Progress(epoch=monitor.best_epoch, step=monitor.best_step, samples=samples)
            return checkpoint, at
        manifest = checkpoint.manifest
        self.display.note(
            f"warning: the best weights, of step {monitor.best_step}, could not be saved; "
            f"those of step {manifest.step} are tested"
        )
        epoch = manifest.epoch - (manifest.batch == 0)  # the checkpoint stands where the next begins
        at = Progress(epoch=epoch, step=manifest.step, samples=manifest.samples)
        return checkpoint, at

    def write_status(self, trainer: BaseTrainer, state: str, **facts: Any) -> None:
        """Where the run stands, for `assay runs` and for people."""
        progress, monitor = trainer.progress, trainer.monitor
        best = None
        if monitor.best is not None:
            best = {"value": monitor.best, "epoch": monitor.best_epoch, "step": monitor.best_step}
        self.run.write_status(
            state,
            epoch=progress.epoch,
            epochs=trainer.epochs,
            step=progress.step,
            monitor=f"{monitor.direction} {monitor.name}",
            best=best,
            values={"best": progress.best, "last": progress.last},
            seconds=round(self._before + time.monotonic() - self._started, 3),
            **facts,
        )

    def _show(self, trainer: BaseTrainer, measured: Sequence[str], epoch: int, improved: bool) -> None:
        now, samples = time.monotonic(), trainer.progress.samples
        seconds, new = now - self._mark[0], samples - self._mark[1]
        self._mark = (now, samples)
        values = {n: v for n, v in trainer.progress.last.items() if n.partition("/")[0] in measured}
        self.display.measured(epoch, trainer.progress.step, values, seconds, improved)
        timing = {"epoch": epoch, "step": trainer.progress.step, "seconds": seconds, "samples": new}
        try:
            with storing(self.run.system):
                append_sample(self.run.system, {"time": time.time(), "training": timing})
            self.write_status(trainer, "running")
        except StorageError as error:  # neither is needed to go on, and the next time there may be room
            self.display.note(f"warning: {error.message}")

    def _media(
        self, trainer: BaseTrainer, phase: str, metrics: MetricSet, progress: Progress
    ) -> dict[str, dict[str, Any]]:
        media: dict[str, dict[str, Any]] = {}
        step, folder = progress.step, self.run.media
        for name, matrix in metrics.matrices().items():
            media[name] = write_matrix(folder, f"{phase}-{name}", step, matrix, self.labels)
        images = first_images(trainer.last_batch) if self.logging.images and trainer.last_batch is not None else None
        if images is not None:
            media["inputs"] = write_images(folder, f"{phase}-inputs", step, images, self.logging.images)
        if self.logging.histograms and phase == "train":
            media |= write_histograms(folder, step, trainer.model, trainer.strategy.whole)
        for name, content in metrics.media().items():
            media[name] = write_content(folder, f"{phase}-{checked(name)}", step, content)
        return media | trainer.attachments.take(trainer.progress.attached, phase)


def learning_rates(trainer: BaseTrainer) -> list[Tensor | float]:
    """The rates that the last update used, one of each group."""
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    return [rate if type(rate) is float else _rate(rate) for rate in rates]


def _rate(rate: Tensor | float) -> Tensor | float:
    """One that is a tensor is changed in its place, and a record may be written later."""
    return rate.item() if isinstance(rate, Tensor) and rate.is_cpu else rate


def evaluated_weights(
    checkpoint: Checkpoint, device: torch.device | str = "cpu", strategy: Strategy | None = None
) -> Mapping[str, Tensor]:
    """The weights that a model of a checkpoint is evaluated with: what a process needs of them, or all.

    Raises:
        CheckpointError: the checkpoint holds no weights.
    """
    name = "ema" if checkpoint.has("ema") else "model"
    weights = (strategy or Strategy()).read(checkpoint, name, torch.device(device))
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"{name}.pt holds a {type(weights).__name__}", where=str(checkpoint.path))
    return weights
