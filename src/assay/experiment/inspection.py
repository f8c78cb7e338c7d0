"""What the layers of a model make of a batch: the range of every output and gradient, and the first not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ["LayerValues", "Range", "Seen"]


@dataclass(frozen=True)
class Range:
    """The smallest and the largest finite number of some tensors, how many are not finite, and how many there are."""

    least: float
    most: float
    bad: int
    count: int

    @classmethod
    def of(cls, nested: Any) -> Range | None:
        """None where there is no tensor of numbers in it."""
        found = [leaf.detach() for leaf in tree_leaves(nested) if isinstance(leaf, Tensor) and leaf.numel()]
        held = [leaf.real if leaf.is_complex() else leaf for leaf in found if leaf.dtype != torch.bool]
        if not held:
            return None
        flat = torch.cat([leaf.reshape(-1).double() for leaf in held])
        finite = flat[torch.isfinite(flat)]
        least, most = (finite.min().item(), finite.max().item()) if finite.numel() else (float("nan"), float("nan"))
        return cls(least, most, flat.numel() - finite.numel(), flat.numel())


@dataclass
class Seen:
    """One pass of a layer, in the order in which they ended; `gradient` is that with respect to its output."""

    name: str
    kind: str
    given: Range | None
    output: Range | None
    gradient: Range | None = None

    def __str__(self) -> str:
        """Where its numbers stopped being finite: in the layer, or in what the code between two layers gave it."""
        held = self.given if self.given and self.given.bad else self.output
        if held is None:
            return f"layer {self.name!r} ({self.kind})"
        what = "what is given to" if held is self.given else "the output of"
        return f"{what} layer {self.name!r} ({self.kind}), in {held.bad:,} of {held.count:,} numbers"


class LayerValues:
    """While it is watching, keeps what every layer gives.

    Args:
        at_first_bad: is called in the layer whose output is the first that is not finite.
    """

    def __init__(self, model: nn.Module, at_first_bad: Callable[[str], None] = lambda name: None) -> None:
        self.model, self.at_first_bad = model, at_first_bad
        self.passes: list[Seen] = []

    @property
    def first_bad(self) -> Seen | None:
        """The first pass whose output is not finite; the innermost layer of those that it is the output of."""
        return next((seen for seen in self.passes if seen.output and seen.output.bad), None)

    @property
    def first_bad_gradient(self) -> Seen | None:
        """The first in the order of the backward pass."""
        return next((seen for seen in reversed(self.passes) if seen.gradient and seen.gradient.bad), None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.passes = []
        handles = [
            module.register_forward_hook(self._leaving(name or type(self.model).__name__))
            for name, module in self.model.named_modules()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leaving(self, name: str) -> Any:
        def leave(module: nn.Module, args: Any, output: Any) -> None:
            had_bad = self.first_bad is not None
            seen = Seen(name, type(module).__name__, Range.of(args), Range.of(output))
            self.passes.append(seen)
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor) and leaf.requires_grad:
                    leaf.register_hook(self._arriving(seen))  # type: ignore[no-untyped-call]
            if not had_bad and self.first_bad is seen:
                self.at_first_bad(name)

        return leave

    @staticmethod
    def _arriving(seen: Seen) -> Any:
        def arrive(gradient: Tensor) -> None:
            seen.gradient = Range.of(gradient)

        return arrive
