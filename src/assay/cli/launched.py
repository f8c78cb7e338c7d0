"""Errors of processes that a launcher (`torchrun`) has started: one of them tells the user, and the launcher's summary,
which comes last, says the same.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress

from assay.utils.distributed import place

__all__ = ["to_tell"]


def to_tell(text: str) -> str:
    """The text of an error as this process is to print it; nothing where another one does.

    Until this one has ended, the launcher's SIGTERM is not answered any more: it comes as soon as another has.
    """
    here = place()
    if not here.launched:
        return text
    first = here.rank
    if here.size > 1:
        from assay.experiment.relaunch import teller

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        first = teller()
    if first != here.rank:
        _to_launcher(f"see rank {first}", time.time() + 1)
        return ""
    name = f"rank {here.rank} of {here.size}:"
    if here.rank and not text.startswith("rank "):
        text = f"{name} {text}"
    _to_launcher(text, time.time())
    return text


def _to_launcher(text: str, when: float) -> None:
    """In the file that torchrun reads the reason from; of several it takes the oldest for the cause."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        message = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(when))}}
        with suppress(OSError), open(path, "w", encoding="utf-8") as stream:  # the user is told in any case
            json.dump({"message": message}, stream)
