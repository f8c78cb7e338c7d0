"""Random numbers as pure functions of what they are for: (seed, stream, epoch, index or step).

Nothing here has state, so nothing here can be lost: a number depends on its path alone, not on how many numbers were
drawn before it, by which worker, or before which kill. Seeds are hashed and never added (seed + epoch collides).

Sources: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
https://doi.org/10.1145/2660193.2660195; the idea of counters, Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", SC 2011.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["derive", "permutation", "sample_keys", "step_seed", "uniform"]

_BLOCK = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive(*path: int | str) -> int:
    """A 63-bit seed for a path such as (seed, "order", epoch).

    torch's CPU generator keeps only the low 32 bits of a seed, so a seed must be a hash and not `epoch << 32 | index`.

    >>> derive(0, "order", 1) == derive(0, "order", 1), derive(0, "order", 1) == derive(0, "order", 2)
    (True, False)
    """
    digest = hashlib.blake2b(repr(path).encode(), digest_size=8, key=b"assay-1").digest()
    return int.from_bytes(digest, "little") >> 1


def step_seed(seed: int, step: int, rank: int) -> int:
    """`derive(seed, "train", step, rank)`, of a training step."""
    return _step_seeds(seed, step // _BLOCK, rank)[step % _BLOCK]


# After a step of torch no code and no data is in the processor's caches: there one hash by itself costs more than one
# of many.
@functools.lru_cache(maxsize=4)
def _step_seeds(seed: int, block: int, rank: int) -> tuple[int, ...]:
    return tuple(derive(seed, "train", step, rank) for step in range(block * _BLOCK, (block + 1) * _BLOCK))


def permutation(n: int, *path: int | str) -> NDArray[np.int64]:
    """The order of `n` things for this path, shape (n,)."""
    return _permutation(n, path).copy()


# A save asks for the order of an epoch that the loader has gone through, or is about to.
@functools.lru_cache(maxsize=1)
def _permutation(n: int, path: tuple[int | str, ...]) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(derive(*path))).permutation(n)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sample_keys(seed: int, stream: str, epoch: int, indices: NDArray[Any]) -> NDArray[np.uint64]:
    """One 64-bit key per sample, shape (B,): a function of (seed, stream, epoch, index) and nothing else."""
    base = np.uint64(derive(seed, stream, epoch))
    return _mix(_mix(indices.astype(np.uint64) * _GOLDEN) + base)


def uniform(keys: NDArray[np.uint64], draws: int, purpose: int) -> NDArray[np.float64]:
    """`draws` numbers in [0, 1) for each key, shape (B, draws), by SplitMix64 in counter mode.

    `purpose` keeps the draws of several transforms of one sample apart: give each its own number.
    """
    counter = np.arange(1, draws + 1, dtype=np.uint64) + np.uint64(purpose * (1 << 20))
    bits = _mix(keys[:, None] + counter[None, :] * _GOLDEN)
    return np.asarray((bits >> np.uint64(11)) * (1.0 / (1 << 53)))
