"""Problems as text: the first in full, more of them shorter, and no more than fit a screen."""

from __future__ import annotations

from collections.abc import Sequence

from assay.errors import Problem

__all__ = ["render"]


def render(problems: Sequence[Problem], full: int = 5, most: int = 20) -> str:
    """The first `full` problems whole, one line for each of the others up to `most`, and how many are left.

    >>> print(render([Problem("no model is named 'ResNt'", key="model.type")] * 3, full=1, most=2))
    no model is named 'ResNt'
      where:    (model.type)
    (model.type): no model is named 'ResNt'
    1 more
    """
    lines = [str(problem) for problem in problems[:full]]
    lines += [_line(problem) for problem in problems[full:most]]
    if len(problems) > most:
        lines.append(f"{len(problems) - most} more")
    return "\n".join(lines)


def _line(problem: Problem) -> str:
    where = " ".join(part for part in (str(problem.place or ""), f"({problem.key})" if problem.key else "") if part)
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{where}: {problem.message}{hint}" if where else f"{problem.message}{hint}"
