"""Problems as text: the first in full, more of them shorter, and no more than fit a screen."""

from __future__ import annotations

from collections.abc import Sequence

from assay.errors import Moved, Problem

__all__ = ["render"]

_LONGEST = 100  # characters of what is expected, where there is nothing to try


def render(problems: Sequence[Problem], head: str = "", *, full: int = 5, most: int | None = 20) -> str:
    """How many there are, the first `full` whole, one line for each other up to `most`, and how many are left.

    With `most` None all of them are shown whole. Keys of an older system have one line each, whatever `most` says.

    >>> print(render([Problem("no model is named 'ResNt'", key="model.type")] * 3, full=1, most=2))
    3 mistakes
    no model is named 'ResNt'
      where:    (model.type)
    (model.type): no model is named 'ResNt'
    1 more (--all)
    """
    count = len(problems)
    first = count if most is None else min(full, most)
    last = count if most is None else most
    heads = [head] if head else []
    heads += [f"{count} mistakes"] if count > 1 else []
    lines = [": ".join(heads)] if heads else []
    moved = [problem for problem in problems if isinstance(problem, Moved)]
    others = [problem for problem in problems if not isinstance(problem, Moved)]
    lines += [str(problem) for problem in moved if not problem.key]  # what introduces them
    lines += [_line(problem) for problem in moved if problem.key]
    lines += [str(problem) for problem in others[:first]]
    lines += [_line(problem) for problem in others[first:last]]
    if len(others) > last:
        lines.append(f"{len(others) - last} more (--all)")
    return "\n".join(lines)


def _line(problem: Problem) -> str:
    more = problem.hint or (f"expected {problem.expected}"[:_LONGEST] if problem.expected else "")
    where = f"{problem.where}: " if problem.where else ""
    return f"{where}{problem.message}{'; ' if more else ''}{more}"
