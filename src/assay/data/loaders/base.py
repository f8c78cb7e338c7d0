"""Batches of a split, in an order and with contents that neither workers nor a restart can change."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from assay.data.loaders.division import Division, Piece
from assay.data.samples import BatchKey, Samples
from assay.errors import AssayError, DataError, few
from assay.utils.seeds import derive, permutation
from assay.utils.streams import endure

__all__ = ["BaseLoader"]

# How often a wait for workers looks whether they live, and when it is told that it is long, in seconds.
_LOOK, _LONG = 2.0, 30.0


class BaseLoader(DataLoader[Any]):
    """torch's DataLoader, told for every batch which samples of which epoch it holds.

    To change what an epoch goes through, override `order`.

    Args:
        samples: the split.
        batch_size: samples of one batch, i.e. of one update of the weights.
        workers: processes that prepare batches; 0 prepares them in the process that trains. Either way they
            are the same.
        shuffle: whether each epoch has an order of its own.
        seed: of the run.
        stream: the name of the split. In "validation" and "test" every epoch is epoch 0: measuring is
            repeatable.
        drop_last: whether to leave out a last, smaller batch; of training only, since a measurement covers
            everything.
        prefetch: batches that each worker prepares ahead.
        persistent: whether workers live on between epochs.
        start_method: fork, spawn or forkserver; None is the system's own.
        timeout: seconds to wait for a batch of the workers before they are taken to hang.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        batch_size: Annotated[int, Ge(1)] = 64,
        workers: Annotated[int, Ge(0)] = 0,
        shuffle: bool = False,
        seed: int = 0,
        stream: str = "train",
        drop_last: bool = False,
        prefetch: Annotated[int, Ge(1)] = 2,
        persistent: bool = True,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        timeout: Annotated[float, Gt(0)] = 600.0,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("prefetch", prefetch, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if timeout <= 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
        self.samples = samples
        self.shuffle = shuffle
        self.seed = seed
        self.stream = stream
        self.workers = workers
        self._measures = stream in ("validation", "test")
        self._pending = _Pending()
        self._turn = 0
        self._limit = timeout
        self.division = Division()
        """What this process has of each batch; set it before the first one is asked for."""
        self._processes: list[Any] = []
        self.tell: Callable[[str], None] = lambda text: print(text, file=sys.stderr)
        """Says that a batch is long in coming."""
        super().__init__(
            samples,
            batch_sampler=self._pending,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_prepare_worker if workers else None,
            multiprocessing_context=start_method if workers else None,
            prefetch_factor=prefetch if workers else None,
            persistent_workers=persistent and workers > 0,
            timeout=min(_LOOK, timeout) if workers else 0,
            # Its only use is a seed that workers ignore; without it torch would draw from the global
            # generator.
            generator=torch.Generator().manual_seed(derive(seed, stream, "loader")),
        )
        # With a batch sampler torch sets these to None and False and forbids to set them; here they mean what
        # they say.
        object.__setattr__(self, "batch_size", batch_size)
        object.__setattr__(self, "drop_last", drop_last and not self._measures)
        if len(self) == 0:
            raise DataError(
                f"there is not one batch of {stream} data",
                found=f"{len(samples)} samples, batches of {batch_size}",
                hint="make batch_size smaller" if len(samples) else "give the split some samples",
            )

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The positions of the split's samples in the order of this epoch, shape (len(samples),)."""
        if self.shuffle:
            return permutation(len(self.samples), self.seed, "order", epoch)
        return np.arange(len(self.samples))

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self.samples), self._size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # its class is torch's own
        return self.batches(0)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch from number `start` on: the number of batches that have been consumed.

        Raises:
            DataError: a sample cannot be read or transformed, or a worker died.
        """
        keys = self._keys(epoch, start)
        return self._from_workers(keys) if self.workers else map(self.samples.fetch, keys)

    def fetch(self, epoch: int, number: int) -> Any:
        """One batch, made here and now, without workers.

        Raises:
            DataError: a sample cannot be read or transformed.
        """
        return self.samples.fetch(self._keys(epoch, number)[0])

    def rows(self, epoch: int, number: int) -> list[int]:
        """Indices in the dataset of the samples that this process has of a batch."""
        rows: list[int] = self.samples.indices[self._own(self.order(epoch), number)].tolist()
        return rows

    def count(self, number: int) -> int:
        """Samples of batch `number` of an epoch, over all processes."""
        return min(self._size, len(self.samples) - number * self._size)

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """What this process has of batch `number`, in the order in which its samples come."""
        return self.division.pieces(self.count(number))

    def close(self) -> None:
        """End the workers that live on between epochs; do so when the loader is done with.

        They have nothing to finish, and torch would wait five seconds for each that is at work.
        """
        for process in self._processes:
            if process.is_alive():
                process.kill()
        for process in self._processes:
            process.join(1)
        self._processes = []
        self._iterator = None

    @property
    def _size(self) -> int:
        return self.batch_size or 1

    def _keys(self, epoch: int, start: int) -> list[BatchKey]:
        epoch = 0 if self._measures else epoch
        order = np.asarray(self.order(epoch))
        if order.shape != (len(self.samples),):
            raise DataError(
                f"order() of {type(self).__name__} has the wrong shape",
                found=str(order.shape),
                expected=f"({len(self.samples)},)",
            )
        return [BatchKey(epoch, self._own(order, n)) for n in range(start, len(self))]

    def _own(self, order: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        """The positions of those samples of a batch that this process has."""
        positions = order[number * self._size : (number + 1) * self._size]
        if self.division.size == 1:
            return positions
        return np.concatenate([positions[piece.start : piece.stop] for piece in self.pieces(number)])

    def _from_workers(self, keys: list[BatchKey]) -> Iterator[Any]:
        self._turn += 1
        turn = self._turn
        try:
            iterator = self._started(keys)
        except Exception as error:  # a worker died since the last epoch, or none can be started
            raise self._failed(error, self._iterator, keys, 0) from error
        self._processes = list(getattr(iterator, "_workers", ()))
        for number in range(len(keys)):
            if self._turn != turn and self.persistent_workers:
                raise RuntimeError("this iteration ended when another one over the same loader began")
            try:
                batch = self._next(iterator, keys, number)
            except (AssayError, MemoryError):
                self.close()
                raise
            except Exception as error:
                raise self._failed(error, iterator, keys, number) from error
            except BaseException:  # a signal
                self.close()
                raise
            if isinstance(batch, DataError):
                # End the workers now: an error's traceback would keep them until a garbage collection.
                self.close()
                del iterator
                raise batch
            yield batch

    def _started(self, keys: list[BatchKey]) -> Iterator[Any]:
        with _kept_child_handler():
            try:
                self._pending.keys = iter(keys)
                return super().__iter__()
            except RuntimeError as error:
                if not _is_timeout(error):
                    raise
            # Workers that live on are still at batches that nobody waits for any more: new ones are faster.
            self.close()
            self._pending.keys = iter(keys)
            return super().__iter__()

    def _next(self, iterator: Iterator[Any], keys: list[BatchKey], number: int) -> Any:
        begin, told = time.monotonic(), False
        while True:
            try:
                return next(iterator)
            except RuntimeError as error:
                if not _is_timeout(error):
                    raise
            waited = time.monotonic() - begin
            worker = number % self.workers
            if waited >= self._limit:
                raise self._hung(keys[number], worker, waited)
            if waited >= _LONG and not told:
                told = True
                batch = len(self) - len(keys) + number
                since = f"since {waited:.0f} s; after {self._limit:.0f} s it is an error"
                self.tell(f"waiting for batch {batch} of epoch {keys[number].epoch} from data worker {worker} {since}")

    def _hung(self, key: BatchKey, worker: int, waited: float) -> DataError:
        return DataError(
            f"data worker {worker} has not given a batch for {waited:.0f} s",
            found=f"it owes {self._owed(key)}",
            hint="see what these samples wait for (data.loader.args.workers=0 shows where), or raise "
            "data.loader.args.timeout",
        )

    def _owed(self, key: BatchKey) -> str:
        indices = self.samples.indices[key.positions].tolist()
        return f"samples {few(indices)} of {type(self.samples.dataset).__name__}, epoch {key.epoch}"

    def _failed(self, error: Exception, iterator: Any, keys: list[BatchKey], number: int) -> DataError:
        """What became of the workers; batch `number` of `keys` is the first that did not come."""
        dataset = type(self.samples.dataset).__name__
        workers = getattr(iterator, "_workers", [])
        # What a dying worker breaks (a connection) may be noticed a moment before its death is.
        dying = wait([process.sentinel for process in workers], timeout=1)
        for process in workers:
            if process.sentinel in dying:
                process.join(1)  # its end of a pipe closes before its exit code is known
        ended = [(worker, process) for worker, process in enumerate(workers) if process.exitcode is not None]
        self._processes = list(workers)
        self.close()  # the dead may hold a lock that the living would wait for
        for worker, process in ended:
            # torch deals batches out in turns, so the first that this worker owes is known; it may have died
            # on a later one, when a finished batch was still on its way.
            owed = number + (worker - number) % self.workers
            key = keys[min(owed, len(keys) - 1)]
            how, hint = _ending(process.exitcode)
            return DataError(
                f"data worker {worker} (process {process.pid}) {how}",
                found=f"it owed {self._owed(key)}, and later ones",
                hint=hint,
            )
        return DataError(
            f"the data workers of {dataset} failed",
            found=f"{type(error).__name__}: {error}",
            hint="set data.loader.args.workers to 0 to see where",
        )


class _Pending(Sampler[Any]):
    """Hands torch the keys of the epoch that is about to begin."""

    keys: Iterator[BatchKey] = iter(())

    def __iter__(self) -> Iterator[BatchKey]:
        return self.keys


_ENDINGS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: (
        "was killed (signal 9)",
        "it was likely out of memory: use fewer workers or smaller batches",
    ),
    signal.SIGBUS: (
        "died of a bus error",
        "the shared memory is full: enlarge /dev/shm or use fewer workers",
    ),
}


def _ending(code: int) -> tuple[str, str]:
    """How a process ended, and what to try."""
    hint = "set data.loader.args.workers to 0 to see where"
    if code >= 0:
        return f"ended with exit code {code}", hint
    return _ENDINGS.get(-code, (f"died of signal {-code}", hint))


def _is_timeout(error: RuntimeError) -> bool:
    """Whether torch has looked in vain for a batch; asked again it goes on to wait."""
    return str(error).startswith("DataLoader timed out")


def _as_it_is(batch: Any) -> Any:
    return batch


def _prepare_worker(worker: int) -> None:
    """One thread, no signal handler of the process that trains, and no error where the terminal has gone.

    Ctrl-C and the end of a terminal reach every process of it: the trainer decides what becomes of them, and needs
    its batches until then.
    """
    torch.set_num_threads(1)
    endure()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _kept_child_handler() -> Iterator[None]:
    """Keep torch from raising in the middle of whatever runs when a worker dies.

    Its SIGCHLD handler would interrupt an update of the weights. Without it the death is noticed where a
    batch is waited for, a few seconds later.
    """
    if threading.current_thread() is not threading.main_thread():  # torch sets no handler there
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
