"""Exceptions of components while a run goes on, told to the user as what they are."""

from __future__ import annotations

import traceback
from types import FrameType

import torch
from torch import nn

from assay.errors import AssayError, ConfigError, Interrupted, MemoryExhaustedError, Problem
from assay.experiment.layers import first_line
from assay.store.run_folder import RunFolder
from assay.utils.secrets import conceal

__all__ = ["explained", "out_of_memory"]


def explained(error: BaseException, model: nn.Module, run: RunFolder) -> AssayError:
    """The error to show for `error`; its traceback is kept in `crash.txt` of the run folder."""
    if isinstance(error, AssayError):
        return error
    if isinstance(error, KeyboardInterrupt):  # where no handler of ours stands, as in a thread of a host program
        return Interrupted.by(2, "stopped by Ctrl-C; the last checkpoint holds", f"assay train --resume {run.path}")
    crash = conceal("".join(traceback.format_exception(error)))
    try:
        (run.path / "crash.txt").write_text(crash, encoding="utf-8")
        kept = f"the traceback is in {run.path / 'crash.txt'}"
    except OSError as full:
        kept = f"the traceback could not be kept: {full.strerror}"
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return out_of_memory(error)
    if "does not have a deterministic implementation" in str(error):
        problem = Problem(first_line(error), key="host.deterministic", hint="set host.deterministic to false")
        return ConfigError.of(problem)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    layer = _layer(frames, model)
    outside = [frame for frame in frames if not str(frame.f_globals.get("__name__", "")).startswith("assay.")]
    if layer is None and not outside:
        return AssayError(f"a bug in assay: {type(error).__name__}: {first_line(error)}", hint=kept)
    where = f"in layer {layer!r} of {type(model).__name__}" if layer is not None else "in a component"
    last = frames[-1].f_code
    return ConfigError.of(
        Problem(
            f"the run stopped {where}: {type(error).__name__}: {first_line(error)}",
            found=f"{last.co_filename}:{error.__traceback__ and _line(error)}",
            hint=kept,
        )
    )


def out_of_memory(error: BaseException) -> MemoryExhaustedError:
    return MemoryExhaustedError(
        f"the device is out of memory: {first_line(error)}",
        hint="raise `trainer.args.accumulate`: the update stays the same, in smaller pieces",
    )


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
