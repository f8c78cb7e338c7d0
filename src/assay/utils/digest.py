"""What a file holds, as one short text."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["sha256_of"]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal; however large it is, little of it is in memory.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Half the time of hashlib.file_digest where a file is small, and a checkpoint of several is read at every save.
        while block := os.read(descriptor, 1 << 18):
            digest.update(block)
    finally:
        os.close(descriptor)
    return digest.hexdigest()
