"""How the processes of one training share a batch: the samples of an update are the same for any number of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Division", "Piece"]


@dataclass(frozen=True)
class Piece:
    """What one process has of one micro-batch: the samples `start` to `stop` of the batch.

    Args:
        whole: samples of the micro-batch over all processes.
        copies: processes that have these samples; above 1 where the micro-batch has fewer samples than there are
            processes: each then has all of it, and what comes of it counts for one of `copies`.
    """

    start: int
    stop: int
    whole: int
    copies: int = 1

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Division:
    """Cuts a batch into micro-batches as one process would, and each of these among the processes.

    So a micro-batch holds the same samples for any number of processes, and so do the statistics of a synchronised
    BatchNorm. Shares differ by one sample at most; every process has as many pieces as the others.

    Args:
        rank, size: of this process, and how many there are.
        micro: samples of a micro-batch over all processes; None: the batch is not cut.
        joins: whether a last micro-batch of fewer samples than processes is one with that before it, so that no sample
            is at two processes where there are others of the batch.

    >>> Division(1, 2, 4).pieces(7)
    (Piece(start=2, stop=4, whole=4, copies=1), Piece(start=6, stop=7, whole=3, copies=1))
    """

    rank: int = 0
    size: int = 1
    micro: int | None = None
    joins: bool = False

    def pieces(self, count: int) -> tuple[Piece, ...]:
        """Those of this process, in order, of a batch of `count` samples."""
        micro = self.micro or count
        pieces = []
        starts = list(range(0, count, micro))
        if self.joins and len(starts) > 1 and count - starts[-1] < self.size:
            del starts[-1]
        for start, stop in zip(starts, [*starts[1:], count], strict=True):
            whole = stop - start
            if whole < self.size:
                pieces.append(Piece(start, start + whole, whole, self.size))
                continue
            share, rest = divmod(whole, self.size)
            first = start + self.rank * share + min(self.rank, rest)
            pieces.append(Piece(first, first + share + (self.rank < rest), whole))
        return tuple(pieces)
