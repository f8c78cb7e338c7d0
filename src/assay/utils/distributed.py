"""Which of several processes this one is, as the launcher (`torchrun`) says in the environment. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Place", "place"]


@dataclass(frozen=True)
class Place:
    """The place of a process among those that train together.

    Args:
        rank: its number, from 0.
        size: how many there are.
        local_rank: its number on its machine: that of its GPU.
        local_size: how many there are on its machine.
        attempt: how many times the launcher has started all of them again.
        launched: whether a launcher started it.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    attempt: int = 0
    launched: bool = False


def place(environment: Mapping[str, str] | None = None) -> Place:
    """The place of this process; without a launcher it is alone."""
    given = os.environ if environment is None else environment
    try:
        size, rank = int(given["WORLD_SIZE"]), int(given["RANK"])
        local = int(given.get("LOCAL_RANK", rank)), int(given.get("LOCAL_WORLD_SIZE", size))
        return Place(rank, size, *local, int(given.get("TORCHELASTIC_RESTART_COUNT", 0)), True)
    except (KeyError, ValueError):
        return Place()
