"""The step in which a run failed, made again from the state and the batch that were kept of it."""

from __future__ import annotations

import pdb
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from assay.config.check import Checked
from assay.errors import AssayError, CheckpointError, ConfigError, NonFiniteError, Problem
from assay.experiment.build import build
from assay.experiment.failed_step import FailedStep
from assay.experiment.failures import explained
from assay.experiment.inspection import LayerValues, Range, Seen
from assay.experiment.layers import first_line
from assay.store.manifest import place
from assay.store.run_folder import RunFolder
from assay.trainer import snapshot
from assay.trainer.base import BaseTrainer
from assay.trainer.batches import split_batch
from assay.trainer.checkpoint import Checkpoint, Checkpoints
from assay.utils.devices import seed_generators
from assay.utils.seeds import derive

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True)
class Replayed:
    """What the step has shown.

    Args:
        at: which it was.
        before: the error that it ended with in the run.
        error: that which it ends with now; None where it does not fail.
        passes: of the layers, in their order.
        gradients: of the parameters that have one, by name.
    """

    at: FailedStep
    before: str
    error: AssayError | None
    passes: list[Seen]
    gradients: dict[str, Range]


def replay(run: RunFolder, checked: Checked, step: int | None = None, *, debug: bool = False) -> Replayed:
    """Restore what a failed step began with, and make it again with the same seed.

    Args:
        checked: the run's own configuration.
        step: updates done before it; None: the last one that failed.
        debug: enter Python's debugger where it fails, or in the first layer whose output is not finite.

    Raises:
        ConfigError: no such step was kept.
        CheckpointError: what was kept is damaged.
    """
    kept = _kept(run, step)
    trainer = build(checked).trainer
    names = [name for name in ("model", "ema", "training") if kept.has(name)]
    snapshot.restore(trainer, {name: kept.tensors(name, trainer.device) for name in names}, kept.state)
    at, before = _place(kept)
    batch = kept.tensors("batch") if kept.has("batch") else _read_again(trainer, at)
    values = LayerValues(trainer.model if at.phase == "train" else trainer.evaluated_model, _stop if debug else _go_on)
    error: AssayError | None = None
    try:
        # An error of the backward pass then comes with the line of the forward pass that it belongs to.
        with values.watching(), torch.autograd.set_detect_anomaly(True, check_nan=debug):
            _make(trainer, at, batch)
    except (Exception, SystemExit) as raised:
        if debug:
            print(f"{at.phase} step {at.step}: {first_line(raised)}")
            pdb.post_mortem(_without_ours(raised.__traceback__))
        error = _shown(raised, trainer, run)
    gradients = {name: Range.of(p.grad) for name, p in trainer.model.named_parameters() if p.grad is not None}
    found = {name: seen for name, seen in gradients.items() if seen is not None}
    return Replayed(at, before, error, values.passes, found)


def _make(trainer: BaseTrainer, at: FailedStep, batch: Any) -> None:
    number = 0 if at.phase == "train" else at.batch
    seed_generators(derive(trainer.parts.seed, at.phase, at.step, number), trainer.device)
    trainer.last_batch = batch
    if at.phase == "train":
        trainer.model.train()
        trainer.update(batch)
        return
    trainer.model = trainer.evaluated_model
    trainer.model.eval()
    with torch.no_grad():
        for micro in split_batch(batch, trainer.micro_size):
            with trainer.autocast():
                trainer.metrics[at.phase].update(trainer.evaluate_step(trainer.to_device(micro)))


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback up to the last frame that is not assay's: there the debugger stands, in the call of the layer."""
    last, entry = None, traceback
    while entry is not None:
        if not str(entry.tb_frame.f_globals.get("__name__", "")).startswith("assay."):
            last = entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None
    return traceback


def _shown(error: BaseException, trainer: BaseTrainer, run: RunFolder) -> AssayError:
    if "returned nan values" in str(error):  # of anomaly detection
        return NonFiniteError(first_line(error))
    return explained(error, trainer, run, again=True)


def _kept(run: RunFolder, step: int | None) -> Checkpoint:
    folder = Checkpoints(run.path / "failed")
    places = {path.name: at[0] for path in folder.all() if (at := place(path))}
    found = [name for name, kept in places.items() if step in (None, kept)]
    if not found:
        steps = ", ".join(str(number) for number in sorted(set(places.values())))
        hint = f"--step of one of these: {steps}" if steps else "only a step that failed is kept"
        what = "no failed step is kept" if step is None else f"no failed step {step} is kept"
        raise ConfigError.of(Problem(f"{what} in {folder.folder}", found=steps or "none", hint=hint))
    return folder.load(found[-1])


def _place(kept: Checkpoint) -> tuple[FailedStep, str]:
    held = kept.state.get("failed")
    try:
        fields: dict[str, Any] = dict(held)  # type: ignore[arg-type]  # what is none of ours raises
        before, _ = str(fields.pop("error")), fields.pop("exit_code")
        return FailedStep(**fields), before
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError("what was kept says nothing of a failed step", where=str(kept.path)) from error


def _read_again(trainer: BaseTrainer, at: FailedStep) -> Any:
    """The batch from the dataset: of types that no file of tensors holds."""
    parts = trainer.parts
    data = {"train": parts.train_data, "validation": parts.validation_data, "test": parts.test_data}[at.phase]
    assert data is not None
    return data.fetch(at.epoch, at.batch)


def _go_on(name: str) -> None:
    pass


def _stop(name: str) -> None:
    raise NonFiniteError(f"the output of layer {name!r} is not finite")
