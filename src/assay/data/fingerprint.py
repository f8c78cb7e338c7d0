"""What tells one dataset from another without reading all of it: counts, names, sizes, arrays, and a few samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from assay.data.datasets.base import BaseDataset
from assay.data.loaders.base import BaseLoader
from assay.errors import DataError

__all__ = ["fingerprint", "order_digest"]

_MOST_FILES, _MOST_BYTES = 10_000, 1 << 26
# What datasets call the list of their files, and their arrays.
_FILES = ("samples", "imgs", "paths", "files", "filenames", "image_paths")
_ARRAYS = ("tensors", "data", "inputs", "images", "x", "targets", "labels", "y")


def fingerprint(loader: BaseLoader, known: dict[int, str]) -> dict[str, Any]:
    """Of the split that a loader goes through; where the dataset lies is no part of it.

    Args:
        known: digests of contents by the dataset's `id`, for splits of one dataset; added to.

    Returns: `dataset` and `samples`, digests of which samples the split has (`split`), of what holds them (`content`),
        and of the first, the middle and the last one as they are read, before transforms (`read`; empty where they
        cannot be read, or are another each time).
    """
    samples = loader.samples
    count = len(samples)
    ends = sorted({0, count // 2, count - 1})
    try:
        read, again = (_digest(samples.read(np.array(ends))) for _ in range(2))
    except DataError:
        read = again = ""  # the run tells it when it comes to that sample
    content = known.setdefault(id(samples.dataset), "") or _digest(_content(samples.dataset))
    known[id(samples.dataset)] = content
    return {
        "dataset": type(samples.dataset).__name__,
        "samples": count,
        "split": _digest([samples.indices]),
        "content": content,
        "read": read if read == again else "",
    }


def order_digest(order: ArrayLike) -> str:
    """Of the order in which an epoch goes through the split."""
    return _digest([np.asarray(order)])


def _content(dataset: Any) -> Iterator[Any]:
    yield len(dataset)
    if isinstance(dataset, BaseDataset):
        info = dataset.describe()
        yield from (info.shape, info.classes, info.class_names, info.sha256)
        if info.sha256:
            return
    for name in _ARRAYS:
        held = getattr(dataset, name, None)
        for array in held if isinstance(held, tuple) else (held,):
            if isinstance(array, Tensor | np.ndarray):
                yield array
    files = next((held for name in _FILES if isinstance(held := getattr(dataset, name, None), list) and held), [])
    root = str(getattr(dataset, "root", ""))
    yield from _files([entry[0] if isinstance(entry, tuple) else entry for entry in files], root)


def _files(paths: list[Any], root: str) -> Iterator[Any]:
    """All names, relative to the dataset's folder, and the sizes of ten thousand files at most."""
    names = [os.fspath(path) for path in paths if isinstance(path, (str, os.PathLike))]
    below = f"{root}{os.sep}"
    yield "\0".join(str(name).removeprefix(below) for name in names)
    for name in names[:: max(1, len(names) // _MOST_FILES)]:
        try:
            yield os.stat(name).st_size
        except OSError:  # a name of something else
            yield None


def _digest(values: Iterable[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        for part in _parts(value):
            digest.update(part)
            digest.update(b"\0")
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy() if value.dtype.itemsize != 2 else value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield from _blocks(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key).encode()
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif value is None or isinstance(value, str | bytes | int | float | np.generic):
        yield repr(value).encode("utf-8", "surrogateescape")
    elif hasattr(value, "__array_interface__"):  # a picture of PIL
        yield from _parts(np.asarray(value))
    else:
        yield type(value).__name__.encode()


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """The bytes of an array; of a large one, blocks of it that are spread over the whole."""
    if array.dtype.hasobject:
        return
    flat = array.reshape(-1)
    length = 1 << 14
    every = max(1, array.nbytes // _MOST_BYTES)
    for start in range(0, flat.size, length * every):
        yield flat[start : start + length].tobytes()
