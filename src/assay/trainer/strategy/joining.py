"""From what the launcher and the configuration say to the strategy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from assay.config.schema import Host
from assay.errors import AssayError
from assay.trainer.strategy.base import Strategy
from assay.utils.distributed import place

__all__ = ["joined"]


@contextmanager
def joined(host: Host) -> Iterator[Strategy]:
    """The strategy, while the processes are together. An error in one of them ends all.

    Raises:
        AssayError: of any of them.
    """
    here = place()
    if here.size == 1:
        yield Strategy()
        return
    from assay.trainer.strategy.peers import Peers

    cuda = host.device.startswith("cuda") or (host.device == "auto" and torch.cuda.is_available())
    if cuda:
        torch.cuda.set_device(here.local_rank)
    peers = Peers(here, cuda=cuda)
    if host.strategy == "fsdp":
        from assay.trainer.strategy.fsdp import FullySharded

        strategy: Strategy = FullySharded(peers)
    else:
        from assay.trainer.strategy.parallel import DataParallel

        strategy = DataParallel(peers)
    try:
        yield strategy
    except Exception as error:
        shown: Any = strategy.heard(error) or error
        told = (
            shown if isinstance(shown, AssayError) else AssayError(f"a bug in assay: {type(error).__name__}: {error}")
        )
        strategy.fail(told)
        raise told from (error if told is not error else error.__cause__)
    finally:
        strategy.leave()
