"""What an argument may be beyond its type: ranges of numbers and lists of words, and how to say them.

Signatures of assay and of its users state ranges with `annotated_types`, as in `Annotated[int, Ge(1)]`. Those of other
packages state none; the table of a `Kind` does it for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

__all__ = ["Limit", "breaches", "fewest", "number", "stated", "within", "words"]

# A range that every number in the value must lie in, or the words that it may be.
Limit = Interval | tuple[str, ...]

# Text that is a number beyond doubt. YAML readers of the 1.1 rules take 1e-3 for text, and hand it on as such.
_EXPONENT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")


def number(value: Any) -> int | float | None:
    """The number that a value is, "1e-3" as well; None for anything else.

    >>> number("1e-3"), number("0.1"), number(True)
    (0.001, None, None)
    """
    if isinstance(value, str):
        return float(value) if len(value) < 400 and _EXPONENT.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def stated(metadata: Iterable[Any]) -> Interval | None:
    """The range that `Annotated` states, whichever of `annotated_types` it uses."""
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, Gt | Ge | Lt | Le | Interval):
            names = ("gt", "ge", "lt", "le")
            found |= {name: bound for name in names if (bound := getattr(item, name, None)) is not None}
    return Interval(**found) if found else None


def fewest(metadata: Iterable[Any]) -> int:
    """How many members `Annotated` asks for with `MinLen`; 0 where it says nothing."""
    return next((item.min_length for item in metadata if isinstance(item, MinLen)), 0)


def within(limit: Limit, value: Any) -> bool:
    """Whether one plain value keeps to the limit; what the limit says nothing about does.

    >>> within(Interval(ge=0, lt=1), 1.0), within(("mean", "sum"), "max"), within(Interval(gt=0), None)
    (False, False, True)
    """
    if isinstance(limit, tuple):
        return not isinstance(value, str) or value in limit
    known = number(value)
    if known is None:
        return True
    return not (
        known != known
        or (limit.gt is not None and not known > limit.gt)  # type: ignore[operator]
        or (limit.ge is not None and not known >= limit.ge)  # type: ignore[operator]
        or (limit.lt is not None and not known < limit.lt)  # type: ignore[operator]
        or (limit.le is not None and not known <= limit.le)  # type: ignore[operator]
    )


def breaches(limit: Limit, value: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Every plain value inside lists that breaks the limit, with its path."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            for path, found in breaches(limit, item):
                yield (index, *path), found
    elif not within(limit, value):
        yield (), value


def words(limit: Limit, whole: bool = False) -> str:
    """
    >>> words(Interval(gt=0)), words(Interval(ge=1), whole=True), words(Interval(ge=0, lt=1)), words(("mean", "sum"))
    ('a number above 0', 'a whole number of at least 1', 'a number of at least 0 and below 1', "'mean' or 'sum'")
    """
    if isinstance(limit, tuple):
        return " or ".join(repr(word) for word in limit)
    what = "a whole number" if whole else "a number"
    if limit.ge is not None and limit.le is not None:
        return f"{what} from {limit.ge} to {limit.le}"
    parts = (("above", limit.gt), ("of at least", limit.ge), ("below", limit.lt), ("of at most", limit.le))
    return f"{what} {' and '.join(f'{word} {bound}' for word, bound in parts if bound is not None)}"
