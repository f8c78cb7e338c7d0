"""What is kept with a launcher (`torchrun`): the run, so that a training that is started again goes on in it, and which
process tells an error.

The launcher's own store outlives the processes that it starts, and is no other launcher's: what is kept there cannot be
taken for that of another training.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch._C._distributed_c10d import TCPStore
from torch.distributed import DistError

from assay.trainer.strategy import Strategy
from assay.utils.distributed import place

__all__ = ["begun", "remember", "teller"]

# How long another process waits for the first one to tell an error, in seconds.
_PATIENCE = 5.0
_trainings = 0


def begun(strategy: Strategy) -> Path | None:
    """The run that an earlier attempt of this launch began: of the script's first training, its second, and so on."""
    global _trainings
    _trainings += 1
    if not place().attempt:
        return None

    def look() -> str:
        store = _store()
        return store.get(_key()).decode() if store is not None and store.check([_key()]) else ""

    found = strategy.on_first(look)
    return Path(found) if found else None


def remember(run: Path) -> None:
    """Let a later attempt of this launch find the run; only the first process does."""
    store = _store() if place().launched else None
    if store is not None:
        store.set(_key(), str(run.absolute()))


def teller() -> int:
    """The rank of the process that tells the error which ends all of them: one, and the first where it still can. Where
    the launcher keeps no store, it is this one.
    """
    here = place()
    key, end = f"assay/told/{here.attempt}", time.monotonic() + _PATIENCE
    try:
        store = _store()
        if store is None:
            return here.rank
        while here.rank and not store.check([key]) and time.monotonic() < end:
            time.sleep(0.02)
        return int(store.compare_set(key, "", str(here.rank)))
    except (RuntimeError, DistError):  # the launcher is gone
        return here.rank


def _key() -> str:
    return f"assay/run/{_trainings}"


def _store() -> Any:
    """The launcher's, where it keeps one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=30))
