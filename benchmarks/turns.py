"""What the benchmarks share: what they ran on, a clock, and ratios of times that were taken by turns."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

__all__ = ["Seconds", "header", "now", "row", "table"]


class Seconds(NamedTuple):
    """Time by the clock on the wall, and CPU time of this process (all its threads, no other process)."""

    wall: float
    cpu: float

    def since(self, begin: Seconds, units: int) -> Seconds:
        """Time from `begin` to here for each of `units` things that were done."""
        return Seconds((self.wall - begin.wall) / units, (self.cpu - begin.cpu) / units)


def now() -> Seconds:
    return Seconds(time.perf_counter(), time.process_time())


def header(packages: Sequence[str], threads: Sequence[int | str]) -> str:
    """Versions, cores and threads."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("assay", "torch", *packages))
    policy = os.environ.get("OMP_WAIT_POLICY", "unset")
    counts = " and ".join(str(count) for count in threads)
    cores = f"{os.cpu_count()} cores, threads: {counts}, OMP_WAIT_POLICY {policy}"
    return f"Python {platform.python_version()}, {versions}; {cores}"


def row(name: str, times: Sequence[Seconds], reference: Sequence[Seconds]) -> tuple[str, ...]:
    """`times` over `reference`, turn by turn: what disturbs the machine disturbs neighbours alike."""
    cells = [name, str(len(times))]
    for clock in range(len(Seconds._fields)):
        ratios = [one[clock] / other[clock] for one, other in zip(times, reference, strict=True)]
        low, middle, high = np.percentile(ratios, (10, 50, 90))
        cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
    return tuple(cells)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of `row`, some with a remark at their end; the spread is from the 10th to the 90th percentile."""
    lines = [("", "n", "wall: median (p10-p90)", "CPU: median (p10-p90)", ""), *rows]
    widths = [max(len(line[cell]) for line in lines) for cell in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), *line[4:]]).rstrip()
        for line in lines
    )
