"""The processes of one training, as they meet, speak to each other and part."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from assay.errors import AssayError, ConfigError, RankLostError
from assay.utils.distributed import Place

__all__ = ["Peers"]

Result = TypeVar("Result")

# How long a process whose connection broke waits to be told why, in seconds.
_PATIENCE = 5.0
_met = 0


class Peers:
    """Messages go over the host (gloo) whatever the device is, so that none of them waits for a GPU.

    Args:
        place: of this process.
        cuda: whether tensors on GPUs are to be summed as well.
    """

    def __init__(self, place: Place, *, cuda: bool) -> None:
        global _met
        _met += 1
        store, self.rank, self.size = next(rendezvous("env://", place.rank, place.size))
        self.store = PrefixStore(f"assay/{place.attempt}/{_met}", store)
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        dist.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.size)

    def leave(self) -> None:
        """Whoever waits for this process gets an error."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def summed_and_largest(self, sums: Sequence[float], flags: Sequence[float]) -> list[float]:
        """Over all processes: the sum of each of the first, the largest of each of the others; one message."""
        own = torch.tensor([*sums, *flags], dtype=torch.float64)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        held = torch.stack(parts)
        count = len(sums)
        return [*held[:, :count].sum(0).tolist(), *held[:, count:].amax(0).tolist()]

    def largest(self, numbers: Sequence[float]) -> list[float]:
        return self.summed_and_largest([], numbers)

    def gather(self, content: Any) -> list[Any]:
        """What every process has, by rank."""
        own = _packed(content)
        sizes = [int(size) for size in self._gathered(torch.tensor([len(own)]))]
        longest = max(sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(own)] = own
        parts = self._gathered(padded)
        return [_unpacked(part[:size]) for part, size in zip(parts, sizes, strict=True)]

    def share(self, content: Any) -> Any:
        """What the first process has."""
        held = [content]
        dist.broadcast_object_list(held, 0, device=torch.device("cpu"))
        return held[0]

    def on_first(self, act: Callable[[], Result]) -> Result:
        """What came of it where the first process did it; where it fails there, it tells the others as any error."""
        result: Result = self.share(None if self.rank else act())
        return result

    def from_rank(self, error: AssayError, rank: int) -> AssayError:
        """The error of another process, as the others raise it."""
        name = f"rank {rank} of {self.size}"
        if isinstance(error, ConfigError):
            error.head = f"{name}:"
        else:
            error.message = f"{name}: {error.message}"
        return error

    def fail(self, error: AssayError) -> None:
        """Tell the others why this process ends, and let them go: they may be waiting for it."""
        with suppress(RuntimeError, dist.DistError):  # it has gone with the first process
            self.store.compare_set("why", "", pickle.dumps((self.rank, error)).hex())
        self.leave()

    def heard(self, error: BaseException) -> AssayError | None:
        """Why another process has ended, where that is what `error` comes from."""
        if isinstance(error, AssayError) or not isinstance(error, RuntimeError) or not _is_lost(error):
            return None
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if self.store.check(["why"]):
                    rank, why = pickle.loads(bytes.fromhex(self.store.get("why").decode()))
                    if rank == self.rank:
                        return None
                    return self.from_rank(why, rank) if rank else why
            except (RuntimeError, dist.DistError):
                break
            time.sleep(0.02)
        return RankLostError(
            "another process of the training has ended without a word: it was killed, or its machine is gone",
            hint="resume from the last checkpoint; `torchrun --max-restarts N` does so by itself",
        )

    def _gathered(self, own: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        return parts


def _is_lost(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "NCCL", "onnection", "socket"))


def _packed(content: Any) -> Tensor:
    return torch.frombuffer(bytearray(pickle.dumps(content)), dtype=torch.uint8)


def _unpacked(content: Tensor) -> Any:
    return pickle.loads(content.numpy().tobytes())
