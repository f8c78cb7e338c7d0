"""Which layer of a model is running, and which one made a tensor: hooks that keep the path."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from assay.utils.secrets import conceal

__all__ = ["LayerTrace", "first_line", "raised_in", "shapes"]


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    inputs: str


class LayerTrace:
    """While it is watching, knows the layers that have been entered and not left, and the makers of outputs."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._running: list[_Call] = []
        self._makers: list[tuple[str, nn.Module, weakref.ref[Tensor]]] = []  # a tensor held would count as memory

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._running, self._makers = [], []
        handles = []
        for name, module in self._model.named_modules():
            handles.append(module.register_forward_pre_hook(self._entering(name), with_kwargs=True))
            handles.append(module.register_forward_hook(self._leaving(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def where(self) -> str:
        """The layer that failed, with its own description: "layer 'fc' (Linear(in_features=8, …))"."""
        if not self._running:
            return ""
        call = self._running[-1]
        return self._worded(call.name, call.module)

    def inputs(self) -> str:
        """What the layer that failed was given."""
        return self._running[-1].inputs if self._running else ""

    def maker_of(self, output: Any) -> str:
        """The innermost layer that gave `output`, or that ran last before it was made; of those with weights."""
        leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        for name, module, made in self._makers:
            if any(made() is leaf for leaf in leaves):
                return self._worded(name, module)
        for name, module, _ in reversed(self._makers):
            if next(module.parameters(recurse=False), None) is not None:
                return self._worded(name, module)
        return f"model {type(self._model).__name__}"

    def _worded(self, name: str, module: nn.Module) -> str:
        kind = type(module).__name__
        if next(module.children(), None) is None:
            kind = f"{kind}({module.extra_repr()})"
        return f"layer {name!r}, {kind}" if name else f"model {kind}"

    def _entering(self, name: str) -> Any:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._running.append(_Call(name, module, shapes((*args, *kwargs.values()))))

        return enter

    def _leaving(self, name: str) -> Any:
        def leave(module: nn.Module, args: Any, output: Any) -> None:
            while self._running and self._running.pop().module is not module:
                pass  # one that left by an exception which its caller bore
            if isinstance(output, Tensor):
                self._makers.append((name, module, weakref.ref(output)))

        return leave


def shapes(nested: Any) -> str:
    """The tensors in it, e.g. `float32 (64, 3, 32, 32), int64 (64,)`."""
    tensors = [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]
    return ", ".join(f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in tensors) or "no tensors"


def raised_in(error: BaseException) -> str:
    """The last line outside of installed packages that took part: what the user can change."""
    frames = traceback.extract_tb(error.__traceback__)
    packages = (str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1]))
    own = [frame for frame in frames if not frame.filename.startswith(packages) and not frame.filename.startswith("<")]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def first_line(error: BaseException) -> str:
    """What an exception says, in a line; its name where it says nothing."""
    return conceal(str(error).strip() or type(error).__name__).splitlines()[0]
