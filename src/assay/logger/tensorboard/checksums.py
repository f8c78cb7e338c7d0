"""CRC-32C of many records at once, as TensorBoard's event files want it of each.

TensorBoard's own reckons byte by byte in Python, which is more work than all else that a record costs the courier
(37 of 60 µs for a record of ten numbers). The same table is applied here to all records of a block side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

__all__ = ["masked"]

_FEW = 16  # records: below, numpy's calls cost more than they save
_LONG = 4096  # bytes: a picture does not stretch the block

Numbers = npt.NDArray[np.uint32]


def masked(messages: Sequence[bytes]) -> list[int]:
    """The masked CRC-32C of each message, as in https://www.tensorflow.org/tutorials/load_data/tfrecord."""
    block = [index for index, message in enumerate(messages) if 0 < len(message) <= _LONG]
    found: dict[int, int] = {}
    if len(block) >= _FEW:
        block.sort(key=lambda index: len(messages[index]), reverse=True)
        sums = _masked_block([messages[index] for index in block])
        found = dict(zip(block, sums.tolist(), strict=True))
    return [found[index] if index in found else masked_crc32c(message) for index, message in enumerate(messages)]


def _masked_block(messages: Sequence[bytes]) -> Numbers:
    """Of messages from the longest to the shortest."""
    width = len(messages[0])
    padded = b"".join(message.ljust(width, b"\0") for message in messages)
    columns = np.frombuffer(padded, np.uint8).reshape(len(messages), width).T.astype(np.uint32)
    lengths = np.array([len(message) for message in messages])
    # How many messages go on at each byte: the first so many, as they are sorted.
    counts = np.searchsorted(-lengths, -np.arange(width), side="left").tolist()
    table, sums = _table(), np.full(len(messages), 0xFFFFFFFF, np.uint32)
    for column, count in zip(columns, counts, strict=True):
        before = sums[:count]
        sums[:count] = table[(before ^ column[:count]) & 0xFF] ^ (before >> 8)
    sums ^= np.uint32(0xFFFFFFFF)
    rotated = (sums >> np.uint32(15)) | (sums << np.uint32(17))
    return rotated + np.uint32(0xA282EAD8)  # the mask, modulo 2^32


@cache
def _table() -> Numbers:
    """What a byte does to the sum: Castagnoli's polynomial, bits reversed."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table
