"""Exceptions of components while a run goes on, told to the user as what they are."""

from __future__ import annotations

import traceback
from dataclasses import replace
from types import FrameType

from torch import nn

from assay.errors import (
    AssayError,
    ConfigError,
    Interrupted,
    MemoryExhaustedError,
    NonFiniteError,
    Problem,
    StorageError,
)
from assay.experiment.failed_step import FailedStep, failed_step, first_bad, keep, part_of_step
from assay.experiment.layers import first_line
from assay.store.run_folder import RunFolder
from assay.trainer.base import BaseTrainer
from assay.trainer.checkpoint import Checkpoints
from assay.utils.atomic import storing
from assay.utils.devices import is_out_of_memory
from assay.utils.secrets import conceal

__all__ = ["explained", "out_of_memory"]


def explained(error: BaseException, trainer: BaseTrainer, run: RunFolder, *, again: bool = False) -> AssayError:
    """The error to show for `error`, and what is kept of the step that it comes from.

    What is no error of assay's leaves its traceback in `crash.txt` of the run folder.

    Args:
        again: it comes from a step that was kept before.
    """
    at = failed_step(error, trainer)
    shown = error if isinstance(error, AssayError) else _worded(error, at, trainer, run, again)
    last = Checkpoints(run.checkpoints).all()[-1:]
    if isinstance(shown, StorageError) and last:
        shown.hint = "; ".join(filter(None, (shown.hint, f"then go on: assay train --resume {run.path}")))
    if again or isinstance(shown, Interrupted) or trainer.strategy.size > 1:  # each process has a part of the step
        return shown
    hints = [shown.hint] if shown.hint else []
    if isinstance(shown, MemoryExhaustedError):
        traceback.clear_frames(error.__traceback__)  # what the step had made is in the way of keeping it
    if at is not None:
        kept = keep(run, trainer, at, shown)  # before anything is made of it again
        hints.append(kept)
        if isinstance(shown, NonFiniteError):
            bad = first_bad(trainer, at)
            shown.where = "; ".join(filter(None, (bad and f"first not finite: {bad}", shown.where)))
    if isinstance(shown, NonFiniteError | MemoryExhaustedError) and last:
        hints.append(f"the last checkpoint is {last[0].name}")
    if not isinstance(shown, ConfigError):
        shown.hint = "; ".join(hints)
    elif at is not None and len(shown.problems) == 1:
        return ConfigError.of(replace(shown.problems[0], hint="; ".join(filter(None, (shown.problems[0].hint, kept)))))
    return shown


def _worded(
    error: BaseException, at: FailedStep | None, trainer: BaseTrainer, run: RunFolder, again: bool
) -> AssayError:
    if isinstance(error, KeyboardInterrupt):  # where no handler of ours stands, as in a thread of a host program
        return Interrupted.by(2, "stopped by Ctrl-C; the last checkpoint holds", f"assay train --resume {run.path}")
    if not again:
        _write_crash(run, error)
    kept = f"the traceback is in {run.path / 'crash.txt'}"
    if is_out_of_memory(error):
        return out_of_memory(error, part_of_step(error, at), trainer)
    if "does not have a deterministic implementation" in str(error):
        problem = Problem(first_line(error), key="host.deterministic", hint="set host.deterministic to false")
        return ConfigError.of(problem)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    layer = _layer(frames, trainer.model)
    outside = [frame for frame in frames if not str(frame.f_globals.get("__name__", "")).startswith("assay.")]
    if layer is None and not outside:
        return AssayError(f"a bug in assay: {type(error).__name__}: {first_line(error)}", hint=kept)
    where = f"in layer {layer!r} of {type(trainer.model).__name__}" if layer is not None else "in a component"
    last = frames[-1].f_code
    return ConfigError.of(
        Problem(
            f"the run stopped {where}: {type(error).__name__}: {first_line(error)}",
            found=f"{last.co_filename}:{error.__traceback__ and _line(error)}",
            hint=kept,
        )
    )


def _write_crash(run: RunFolder, error: BaseException) -> None:
    crash = conceal("".join(traceback.format_exception(error)))
    with storing(run.path):
        (run.path / "crash.txt").write_text(crash, encoding="utf-8")


def out_of_memory(
    error: BaseException, part: str = "the training step", trainer: BaseTrainer | None = None
) -> MemoryExhaustedError:
    """What did not fit, and how the same update is made with less.

    Args:
        part: what was being done.
        trainer: whose batches they were.
    """
    made = MemoryExhaustedError(
        f"out of memory in {part}: {first_line(error)}",
        hint="raise `trainer.args.accumulate`: the update stays the same, in smaller pieces",
    )
    if trainer is None:
        return made
    size, pieces = trainer.parts.train_data.batch_size or 1, trainer.accumulate
    made.found = f"batches of {size} samples" + (f" in {pieces} pieces" if pieces > 1 else "")
    if part == "the loading of data":
        made.hint = "fewer data.loader.args.workers, or a smaller data.loader.args.prefetch"
    elif 2 * pieces <= size:
        made.hint = (
            f"--set trainer.args.accumulate={2 * pieces}: the update stays that of {size} samples, in pieces of "
            f"{-(-size // (2 * pieces))}; on resume with --allow-change trainer.args.accumulate"
        )
    else:
        made.hint = "a smaller model, or a device with more memory: a sample at a time does not fit"
    return made


def _layer(frames: list[FrameType], model: nn.Module) -> str | None:
    """The innermost module of the model that was running."""
    names = {id(module): name for name, module in model.named_modules()}
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names:
            return names[id(owner)] or type(model).__name__
    return None


def _line(error: BaseException) -> int:
    return list(traceback.walk_tb(error.__traceback__))[-1][1]
