"""What the benchmarks share: what they ran on, and ratios of times that were taken by turns."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np

__all__ = ["header", "per_turn", "table"]


def header(packages: Sequence[str], threads: Sequence[int]) -> str:
    """Versions, cores and threads in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("assay", "torch", *packages))
    policy = os.environ.get("OMP_WAIT_POLICY", "unset")
    counts = " and ".join(str(count) for count in threads)
    cores = f"{os.cpu_count()} cores, {counts} threads, OMP_WAIT_POLICY {policy}"
    return f"Python {platform.python_version()}, {versions}; {cores}"


def per_turn(times: Mapping[str, Sequence[float]], name: str, reference: str) -> list[float]:
    """Time of `name` over time of `reference`, turn by turn: what disturbs the machine disturbs neighbours alike."""
    return [one / other for one, other in zip(times[name], times[reference], strict=True)]


def table(rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """One line for each (name, ratios, remark): n, median, and the spread from the 10th to the 90th percentile."""
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'':{width}}   n  median  p10-p90"]
    for name, ratios, remark in rows:
        low, middle, high = np.percentile(ratios, (10, 50, 90))
        lines.append(f"{name:{width}} {len(ratios):>3}  {middle:6.2f}  {low:.2f}-{high:.2f}  {remark}".rstrip())
    return "\n".join(lines)
