"""Values that become tensors and dtypes of torch.

Where torch is not imported yet, nothing is built yet either, and the value as it stands is only checked.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.config.limits import number
from assay.config.misfit import Misfit

__all__ = ["dtype", "tensor"]


def tensor(value: Any) -> Any:
    """A tensor of torch's default type, so that [1, 2] is a weight like [1.0, 2.0].

    Raises:
        Misfit: these are not numbers, or lists of unequal lengths.
    """
    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.Tensor):
        return value
    if _shape(value) is None:
        raise Misfit.of(value, "a list of numbers")
    return torch.tensor(value, dtype=torch.get_default_dtype()) if torch else value


def _shape(value: Any) -> tuple[int, ...] | None:
    """The lengths of nested lists of numbers; None where it is anything else."""
    if not isinstance(value, list | tuple):
        return None if isinstance(value, str) or number(value) is None else ()
    inside = {_shape(item) for item in value} or {()}
    first = inside.pop()
    return None if inside or first is None else (len(value), *first)


def dtype(value: Any) -> Any:
    """`float32` and `torch.float32` alike.

    Raises:
        Misfit: torch has no such dtype.
    """
    torch = sys.modules.get("torch")
    name = value.removeprefix("torch.") if isinstance(value, str) else ""
    if torch is None and name in _dtypes():
        return value
    found = getattr(torch, name, None) if name else value
    if torch and isinstance(found, torch.dtype):
        return found
    raise Misfit.of(value, 'a torch dtype such as "float32"')


@lru_cache(maxsize=1)
def _dtypes() -> frozenset[str]:
    """Their names, from the stub of torch's compiled part and, the ones of few bits, from nowhere in its text."""
    few = {f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)} | {"bit"}
    spec = importlib.util.find_spec("torch")
    stub = Path(spec.origin).parent / "_C" / "__init__.pyi" if spec and spec.origin else None
    text = stub.read_text(encoding="utf-8") if stub and stub.is_file() else ""
    return frozenset(few | set(re.findall(r"^(\w+): dtype = ", text, re.MULTILINE)))
