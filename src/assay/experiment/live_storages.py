"""How much memory tensors hold, counted by their storages while operations run."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

__all__ = ["LiveStorages"]

_ATEN = torch.ops.aten
_OF_ONE_TYPE = {_ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm, _ATEN.mv, _ATEN.addmv, _ATEN.dot, _ATEN.convolution}


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Counts the bytes of every storage that an operation returns, until nothing holds it any more.

    Works on real tensors and, entered after a `FakeTensorMode`, on those that have no memory (`on_paper`). There a
    number that is read (`item()`) is not known, and is made up; and types that a product of matrices or a convolution
    refuses are refused here, since torch does not look at them without memory.

    Attributes:
        now, peak: bytes that are held, and the most that were at once.
        made_up: how many numbers were.
    """

    def __init__(self, *, on_paper: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nor here
        self.now = self.peak = self.made_up = 0
        self._on_paper = on_paper
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._on_paper and func is torch.ops.aten._local_scalar_dense.default:
            tensor: Tensor = args[0]
            self.made_up += 1
            if tensor.dtype is torch.bool:
                return False  # `if broken.any(): raise` is what booleans are mostly read for
            return 0.5 if tensor.is_floating_point() else 1
        if self._on_paper and getattr(func, "overloadpacket", None) in _OF_ONE_TYPE:
            types_given = list(dict.fromkeys(arg.dtype for arg in args if isinstance(arg, Tensor)))
            if len(types_given) > 1:
                raise RuntimeError("expected tensors of one type, but got " + " and ".join(map(str, types_given)))
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self.count, result)
        return result

    def count(self, tensor: Tensor) -> None:
        """Take in a tensor that was there before, or one that is new; sparse ones have no storage to count."""
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        identity = storage._cdata
        if identity in self._sizes:
            return
        self._sizes[identity] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, identity)

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak = self.now

    def _release(self, identity: int) -> None:
        self.now -= self._sizes.pop(identity)
