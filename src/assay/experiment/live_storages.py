"""How much memory tensors hold, counted by their storages while operations run."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

__all__ = ["LiveStorages"]


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Counts the bytes of every storage that an operation returns, until nothing holds it any more.

    Works on real tensors and, entered after a `FakeTensorMode`, on those that have no memory. There a number that is
    read (`item()`) is not known: with `makes_up_numbers` it is made up.

    Attributes:
        now, peak: bytes that are held, and the most that were at once.
    """

    def __init__(self, *, makes_up_numbers: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nor here
        self.now = self.peak = 0
        self._makes_up_numbers = makes_up_numbers
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._makes_up_numbers and func is torch.ops.aten._local_scalar_dense.default:
            tensor: Tensor = args[0]
            if tensor.dtype is torch.bool:
                return False  # `if broken.any(): raise` is what booleans are mostly read for
            return 0.5 if tensor.is_floating_point() else 1
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
