"""Files that would run code, take all memory, or overflow a stack, if they were read in the wrong way."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

__all__ = ["payloads"]

MARK, STOP, REDUCE, TUPLE, TUPLE1, NEWOBJ = b"(", b".", b"R", b"t", b"\x85", b"\x81"
PROTO2 = b"\x80\x02"


def payloads(canary: Path, weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, bytes]]:
    """Of each a name and the bytes of a file; any that ran would leave `canary`.

    Args:
        weights: tensors that some of the files hold besides.
    """
    touch = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w')"
    for name, pickled in _pickles(canary, touch, write):
        yield name, _archive(pickled)
    system = _call("posix", "system", touch)
    yield "legacy container", _legacy(system)
    yield "bare pickle", system
    yield "bare pickle of protocol 4", pickle.dumps(_Runs(touch), protocol=4)
    yield "bare pickle of protocol 0", pickle.dumps(_Runs(touch), protocol=0)
    yield "tar container", _tar(system)
    yield "7z container", b"7z\xbc\xaf\x27\x1c\x00\x04" + system
    yield "gzip container", gzip.compress(system)
    yield "compressed records", _archive(system, compression=zipfile.ZIP_DEFLATED)
    yield "two records of one name", _archive(_honest(weights), more=[("archive/data.pkl", system)])
    yield "name that leads out", _archive(system, more=[("archive/../../data.pkl", system)])
    yield "absolute name", _archive(system, more=[("/etc/data.pkl", system)])
    yield "archive of TorchScript", _archive(system, more=[("archive/constants.pkl", system)])
    yield "zip behind a pickle", system + _archive(_honest(weights))
    yield "object array of NumPy", _object_array(touch)
    yield "storage declared larger", _archive(_tensor(declared=10_000), more=[("archive/data/0", bytes(16))])
    yield "storage declared smaller", _archive(_tensor(declared=1), more=[("archive/data/0", bytes(16))])
    yield "storage of 10 GB", _archive(_tensor(declared=10**10), more=[("archive/data/0", bytes(16))])
    yield "tensor beyond its storage", _archive(_tensor(size=10**9), more=[("archive/data/0", bytes(16))])
    yield "tensor at a negative place", _archive(_tensor(offset=-4), more=[("archive/data/0", bytes(16))])
    yield "legacy storage of 10 GB", _legacy(_tensor(declared=10**10))
    yield "missing record", _archive(_tensor())


class _Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (self.command,)


def _pickles(canary: Path, touch: str, write: str) -> Iterator[tuple[str, bytes]]:
    calls: list[tuple[str, str, str]] = [
        ("os", "system", touch),
        ("posix", "system", touch),
        ("nt", "system", touch),
        ("posix", "popen", touch),
        ("posix", "mkdir", str(canary)),
        ("subprocess", "getoutput", touch),
        ("subprocess", "Popen", touch),
        ("builtins", "eval", write),
        ("__builtin__", "eval", write),
        ("builtins", "exec", write),
        ("builtins", "compile", write),
        ("builtins", "open", str(canary)),
        ("builtins", "getattr", touch),
        ("builtins", "__import__", "antigravity"),
        ("runpy", "run_path", str(canary)),
        ("importlib", "import_module", "antigravity"),
        ("pkgutil", "resolve_name", "os:system"),
        ("pip", "main", "install"),
        ("webbrowser", "open", "http://127.0.0.1:9"),
        ("socket", "create_connection", "127.0.0.1"),
        ("shutil", "rmtree", str(canary)),
        ("pathlib", "Path.touch", str(canary)),
        ("torch", "load", str(canary)),
        ("torch.hub", "load", "http://127.0.0.1:9/x"),
        ("torch.jit", "load", str(canary)),
        ("torch.serialization", "load", str(canary)),
        ("torch.storage", "_load_from_bytes", touch),
        ("torch._utils", "import_module", touch),
        ("torch._C", "_set_worker_pids", touch),
        ("torch.utils.cpp_extension", "load", touch),
        ("numpy", "load", str(canary)),
        ("numpy.core.multiarray", "_reconstruct", touch),
        ("functools", "partial", touch),
        ("operator", "methodcaller", touch),
        ("operator", "attrgetter", "os.system"),
        ("logging.config", "fileConfig", touch),
        ("assay.cli", "main", touch),
        ("builtins", "bytearray", touch),
        ("__main__", "run", touch),
        ("timeit", "timeit", write),
        ("code", "interact", touch),
        ("pty", "spawn", touch),
        ("ctypes", "CDLL", "libc.so.6"),
        ("multiprocessing.util", "spawnv_passfds", touch),
    ]
    for module, name, argument in calls:
        yield f"{module}.{name}", _call(module, name, argument)
    system = b"cposix\nsystem\n"
    text = _text(touch)
    yield "bytearray of 10 GB", PROTO2 + b"c__builtin__\nbytearray\n" + _long(10**10) + TUPLE1 + REDUCE + STOP
    yield "setstate", PROTO2 + b"ctorch.nn.modules.module\nModule\n" + b")" + NEWOBJ + text + b"b" + STOP
    yield "newobj_ex", b"\x80\x04" + system + text + TUPLE1 + b"}\x92" + STOP
    yield "inst", MARK + b"S'" + touch.encode() + b"'\niposix\nsystem\n" + STOP
    yield "obj", PROTO2 + MARK + system + text + b"o" + STOP
    yield "ext1", PROTO2 + b"\x82\x01" + text + TUPLE1 + REDUCE + STOP
    yield "ext4", PROTO2 + b"\x84\x01\x00\x00\x00" + text + TUPLE1 + REDUCE + STOP
    pieces = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93"
    yield "stack_global", pieces + text + TUPLE1 + REDUCE + STOP
    yield "payload, then garbage", _call("posix", "system", touch)[:-1] + b"\xff\xff\xff"
    yield "payload, then the end of the file", _call("posix", "system", touch)[:-1]
    yield "hidden by a pop", _call("posix", "system", touch)[:-1] + b"0}" + STOP
    yield "persistent id that is code", PROTO2 + system + text + TUPLE1 + REDUCE + b"Q" + STOP
    yield "tuples in tuples, as a key", PROTO2 + b"})" + TUPLE1 * 300_000 + b"K\x01s" + STOP
    yield "lists in lists", PROTO2 + b"]" * 300_000 + b"a" * 299_999 + STOP
    yield "encoding that is a module", PROTO2 + b"c_codecs\nencode\n" + text + _text("idna") + b"\x86" + REDUCE + STOP
    yield "integer of a million digits", PROTO2 + b"\x8b" + struct.pack("<i", 400_000) + b"\x7f" * 400_000 + STOP
    yield "memo that is not there", PROTO2 + b"h\x07" + STOP
    yield "nothing on the stack", PROTO2 + STOP
    yield "empty", b""
    yield "strings that name code", PROTO2 + b"}" + _text("_class_path") + _text("os.system") + b"s" + STOP


def _call(module: str, name: str, argument: str) -> bytes:
    return PROTO2 + f"c{module}\n{name}\n".encode() + _text(argument) + TUPLE1 + REDUCE + STOP


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _long(number: int) -> bytes:
    content = number.to_bytes((number.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def _tensor(declared: int = 4, size: int = 4, offset: int = 0) -> bytes:
    """A state dict with one tensor of float32, as torch.save writes it but for the numbers."""
    storage = MARK + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + _long(declared)
    tensor = MARK + storage + TUPLE + b"Q" + _long(offset) + _long(size) + TUPLE1 + b"K\x01" + TUPLE1 + b"\x89"
    tensor += b"ccollections\nOrderedDict\n)" + REDUCE + TUPLE
    return PROTO2 + b"}" + _text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + REDUCE + b"s" + STOP


def _honest(weights: dict[str, torch.Tensor]) -> bytes:
    stream = io.BytesIO()
    torch.save(weights, stream)
    with zipfile.ZipFile(stream) as archive:
        return archive.read("archive/data.pkl")


def _archive(
    pickled: bytes, *, more: list[tuple[str, bytes]] | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """As torch.save packs it."""
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of two records of one name
        archive.writestr("archive/data.pkl", pickled)
        for name, content in [("archive/byteorder", b"little"), *(more or []), ("archive/version", b"3\n")]:
            archive.writestr(name, content)
    return stream.getvalue()


def _legacy(pickled: bytes) -> bytes:
    """As torch before 1.6 packs it."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    return b"".join(pickle.dumps(part, protocol=2) for part in head) + pickled + pickle.dumps(["0"], protocol=2)


def _tar(pickled: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            facts = tarfile.TarInfo(name)
            facts.size = len(pickled)
            archive.addfile(facts, io.BytesIO(pickled))
    return stream.getvalue()


def _object_array(touch: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([_Runs(touch)], dtype=object), allow_pickle=True)
    return stream.getvalue()


Make = Callable[[Path], object]
