"""What annotations say beyond the type: what stands inside of them, and the ranges that `Annotated` states."""

from __future__ import annotations

import types
import typing
from typing import Any

from assay.config.limits import Limit, fewest, stated

__all__ = ["bare", "fewest_of", "is_tensor", "is_whole", "limit_of", "members"]


def bare(annotation: Any) -> Any:
    """The annotation without `Annotated`, a `NewType` or a `type` alias around it."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # Python 3.12
            annotation = annotation.__value__
        else:
            return annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """What stands in the brackets of an annotation; a tensor beside a number is one number, and no list of them."""
    inner = typing.get_args(annotation)
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    if is_union and any(bare(member) in (int, float) for member in inner):
        return tuple(member for member in inner if not is_tensor(member))
    return inner


def is_tensor(annotation: Any) -> bool:
    return (getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")) == ("torch", "Tensor")


def is_whole(annotation: Any) -> bool:
    """Whether the numbers in it are integers, as in `int | Sequence[int]`."""
    annotation = bare(annotation)
    inner = typing.get_args(annotation)
    return annotation is int or (annotation is not float and any(is_whole(member) for member in inner))


def limit_of(annotation: Any) -> Limit | None:
    return stated(annotation.__metadata__) if typing.get_origin(annotation) is typing.Annotated else None


def fewest_of(annotation: Any) -> int:
    """How many members a list or an object must have, as `Annotated` says."""
    return fewest(annotation.__metadata__) if typing.get_origin(annotation) is typing.Annotated else 0
