"""The step in which a run failed: which it was, what was bad in it first, and all that it takes to run it again."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from assay.errors import AssayError, few
from assay.experiment.inspection import LayerValues
from assay.experiment.layers import first_line
from assay.store.run_folder import RunFolder
from assay.trainer import snapshot
from assay.trainer.base import BaseTrainer
from assay.trainer.batches import split_batch, tensors_of
from assay.trainer.checkpoint import Checkpoints
from assay.utils.devices import seed_generators
from assay.utils.seeds import derive

__all__ = ["FailedStep", "failed_step", "first_bad", "keep", "part_of_step"]


@dataclass(frozen=True)
class FailedStep:
    """Where a run stood.

    Args:
        phase: `train`, `validation` or `test`.
        step: updates done before.
        epoch: of the training.
        batch: its number, of the epoch or of the evaluation.
        samples: the indices in the dataset.
    """

    phase: str
    step: int
    epoch: int
    batch: int
    samples: list[int]


def failed_step(error: BaseException, trainer: BaseTrainer) -> FailedStep | None:
    """None where the error comes from elsewhere than from a step."""
    progress, parts = trainer.progress, trainer.parts
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    codes = {frame.f_code: frame for frame in frames}
    if type(trainer).update.__code__ in codes:
        rows = trainer.parts.train_data.rows(progress.epoch, progress.batch)
        return FailedStep("train", progress.step, progress.epoch, progress.batch, rows)
    evaluating = codes.get(BaseTrainer.evaluate.__code__)
    if evaluating is None or type(trainer).evaluate_step.__code__ not in codes:
        return None
    phase, number = evaluating.f_locals["phase"], evaluating.f_locals["number"]
    data = {"validation": parts.validation_data, "test": parts.test_data}[phase]
    assert data is not None
    size = data.batch_size or 1
    rows = data.samples.indices[data.order(0)[number * size : (number + 1) * size]].tolist()
    return FailedStep(phase, progress.step, progress.epoch, number, rows)


def part_of_step(error: BaseException, at: FailedStep | None) -> str:
    """In words, what was being done."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = {(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name) for frame in frames}
    if ("torch.autograd", "backward") in names or ("torch._tensor", "backward") in names:
        return "the backward pass"
    if any(name == "step" and isinstance(f.f_locals.get("self"), torch.optim.Optimizer) for f, name in _named(frames)):
        return "the optimizer's step"
    if at is not None:
        return "the forward pass" if at.phase == "train" else f"the {at.phase}"
    if any(module.startswith("assay.data.") for module, _ in names):
        return "the loading of data"
    return "the saving of a checkpoint" if any("checkpoint" in module for module, _ in names) else "the run"


def keep(run: RunFolder, trainer: BaseTrainer, at: FailedStep, error: AssayError) -> str:
    """Write the state that the step began with, and its batch, to `failed/` of the run: what `assay replay` takes.

    Returns: a sentence about it; a disk or memory that refuses is no second failure.
    """
    try:
        tensors, state = snapshot.take(trainer)
        if storable(trainer.last_batch):
            tensors["batch"] = trainer.last_batch
        state["failed"] = {**asdict(at), "error": str(error).splitlines()[0], "exit_code": error.exit_code}
        Checkpoints(run.path / "failed").save(at.step, tensors, state, epoch=at.epoch, batch=at.batch)
    except (AssayError, MemoryError, RuntimeError, OSError) as refused:
        return f"the step could not be kept to be run again: {first_line(refused)}"
    return f"run the step again: assay replay {run.path}"


def storable(batch: Any) -> bool:
    """Whether a file of tensors and plain types can hold it; what cannot be held is read from the dataset again."""
    if type(batch) in (tuple, list):
        return all(map(storable, batch))
    if type(batch) is dict:
        return all(type(key) is str and storable(value) for key, value in batch.items())
    return batch is None or type(batch) in (Tensor, str, int, float, bool)


def first_bad(trainer: BaseTrainer, at: FailedStep) -> str:
    """What was the first that is not finite: a weight, the input, or the output of a layer; empty where none is.

    The forward pass is made again under hooks, from the same seed.
    """
    bad = [name for name, weight in trainer.model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        if not at.step:
            return f"weight {bad[0]}, from the beginning"
        epoch, batch = (at.epoch, at.batch - 1) if at.batch else (at.epoch - 1, len(trainer.parts.train_data) - 1)
        rows = trainer.parts.train_data.rows(epoch, batch)
        return f"weight {bad[0]}, by the update of step {at.step - 1} (samples {few(rows)}) or one before"
    rows = sorted({row for leaf in tensors_of(trainer.last_batch) for row in _bad_rows(leaf)})
    if rows:
        named = [str(at.samples[row]) for row in rows if row < len(at.samples)]
        return f"the input, in sample{'s' if len(named) > 1 else ''} {few(named)}"
    if at.phase != "train":
        return ""
    values = LayerValues(trainer.model)
    losses: list[Tensor] = []
    held = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    try:
        seed_generators(derive(trainer.parts.seed, "train", at.step, 0), trainer.device)
        with values.watching():
            for micro in split_batch(trainer.last_batch, trainer.micro_size):
                with trainer.autocast():
                    losses.append(trainer.train_step(trainer.to_device(micro)).loss)
    except Exception as error:  # what a layer says of such numbers; the run's own error is the one that counts
        return f"{error.message}" if isinstance(error, AssayError) else ""
    finally:
        with torch.no_grad():
            for name, buffer in trainer.model.named_buffers():
                buffer.copy_(held[name])
    if values.first_bad is not None:
        return str(values.first_bad)
    return "" if all(torch.isfinite(loss) for loss in losses) else "the loss, of outputs that are finite"


def _named(frames: list[Any]) -> Iterator[tuple[Any, str]]:
    for frame in frames:
        yield frame, frame.f_code.co_name


def _bad_rows(leaf: Tensor) -> list[int]:
    if not leaf.is_floating_point() or not leaf.ndim:
        return []
    return [int(row) for row in (~torch.isfinite(leaf.reshape(len(leaf), -1))).any(1).nonzero().reshape(-1)]
