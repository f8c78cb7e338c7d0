"""A training in a process of its own that may be killed after a step: `python -m assay.experiment.killed_training`.

    … CONFIG --kill-after 25         train, and end by SIGKILL when 25 updates are done
    … --resume RUN --set KEY=VALUE   go on with what was left

A mistake is one sentence on stderr, and the exit code is that of the error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from assay.errors import AssayError
from assay.experiment import api
from assay.model.metrics.reading import Reading
from assay.trainer.base import BaseTrainer
from assay.trainer.writer import Writer

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?")
    parser.add_argument("--resume")
    parser.add_argument("--kill-after", type=int)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--allow", action="append", default=[])
    given = parser.parse_args()
    if given.kill_after is not None:
        _die_after(given.kill_after)
    try:
        api.train(
            given.config, resume=given.resume, overrides=given.set, allow=given.allow, preflight=False, quiet=True
        )
    except AssayError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _die_after(step: int) -> None:
    after_step = Writer.after_step

    def killed(writer: Writer, trainer: BaseTrainer, readings: Sequence[Reading]) -> None:
        after_step(writer, trainer, readings)
        if trainer.progress.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Writer, "after_step", killed)  # noqa: B010 - in this process alone, which is there for it


if __name__ == "__main__":
    main()
