"""Files of `torch.save`, read as data: tensors and plain types, and never code."""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - with it and torch.utils.serialization here no file makes Python import anything
import pickletools
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
import torch.utils.serialization  # see above

from assay.errors import CheckpointError

__all__ = ["load"]

# Modules that a file of tensors names: what of them may be called torch decides (`weights_only=True`). bytearray is not
# among them, which torch would let take any number of bytes.
_MODULES = {"torch", "torch.storage", "torch.cuda", "torch.sparse", "torch.nn.parameter", "torch.serialization"}
_MODULES |= {"torch._utils", "torch._tensor", "collections"}
_NAMES = {"_codecs.encode", "builtins.set", "builtins.complex", "__builtin__.set", "__builtin__.complex"}
_DEEPEST = 200
_ADDING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_RECORD = re.compile(r"[^/\\\0]+/(?!.*(?:^|/)\.\.(?:/|$))[^\\\0]+")


def load(path: Path, device: torch.device | str = "cpu", *, only_zip: bool = False, mmap: bool = False) -> Any:
    """What `torch.save` wrote.

    Args:
        only_zip: refuse the form of before torch 1.6.
        mmap: read of it only what is used.

    Raises:
        CheckpointError: it is no such file, it is damaged, or it names anything but tensors and plain types; then
            nothing of it was run.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise ValueError("it is no file")
        with path.open("rb") as stream:
            _look_through(stream, path.stat().st_size, only_zip)
        return torch.load(path, map_location=device, weights_only=True, mmap=mmap or None)
    except FileNotFoundError as error:
        hint = "paths are relative to the folder that the command is run in"
        raise CheckpointError("there is no such file of weights", where=str(path), hint=hint) from error
    except _Foreign as error:
        raise _refused(path, str(error)) from None
    except Exception as error:  # a damaged file fails in any way that a zip archive or a pickle can
        foreign = re.search(r"(?:GLOBAL|class) ((?:\w+\.)+\w+)", str(error))
        if foreign:
            raise _refused(path, foreign[1]) from None
        raise CheckpointError(
            "the file of weights cannot be read",
            where=str(path),
            found=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}",
            expected="a file written by torch.save",
        ) from error


class _Foreign(ValueError):
    """A name in the file that stands for code."""


def _refused(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} contains code ({name}); refused; nothing was run",
        where=str(path),
        expected="tensors and plain types",
        hint="save the weights alone: torch.save(model.state_dict(), path)",
    )


def _look_through(stream: IO[bytes], size: int, only_zip: bool) -> None:
    """Hold the archive and the names in its pickle against what torch.save writes, without making anything of it."""
    is_zip = stream.read(4) == b"PK\x03\x04"  # as torch decides it
    stream.seek(0)
    if not is_zip:
        if only_zip:
            raise ValueError("it is no zip archive")
        for _ in range(5):  # a number, a version, facts of the system, the object, the keys of its storages
            _look_at(stream)
        return
    with zipfile.ZipFile(stream) as archive:
        records = archive.infolist()
        names = [record.filename for record in records]
        if len(set(names)) < len(names):
            raise ValueError("two records of the archive have one name")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ValueError("the archive is compressed")
        if sum(record.file_size for record in records) > size:
            raise ValueError("its records are larger than the file")
        if any(not _RECORD.fullmatch(name) for name in names):
            raise ValueError("a record of the archive has a name that leads elsewhere")
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError("it is an archive of TorchScript, which is code")
        for name in names:
            if name.endswith("/data.pkl"):
                with archive.open(name) as pickle:
                    _look_at(pickle)


def _look_at(stream: IO[bytes]) -> None:
    """
    Raises:
        _Foreign: the pickle names what is neither a tensor nor a plain type.
        ValueError: it is no pickle, or is nested too deeply for what walks through it afterwards.
    """
    stack: list[Any] = []
    memo: dict[int, int] = {}
    texts: list[str] = []
    for code, argument in _operations(stream):
        if code.name in ("GLOBAL", "INST"):
            _require_plain(str(argument).replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            _require_plain(".".join(texts[-2:]))
        elif code.name.startswith("EXT"):
            raise _Foreign(f"extension {argument}")
        if isinstance(argument, str) and "GLOBAL" not in code.name:
            texts = [*texts[-1:], argument]
        _follow(code, argument, stack, memo)


def _operations(stream: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    for code, argument, _ in pickletools.genops(stream):
        yield code, argument


def _require_plain(name: str) -> None:
    module = name.rpartition(".")[0]
    if name not in _NAMES and module not in _MODULES:
        raise _Foreign(name)


def _follow(code: Any, argument: Any, stack: list[Any], memo: dict[int, int]) -> None:
    """How deep each thing on the stack is nested; `None` is a mark."""
    if code.name.endswith("GET"):
        stack.append(memo.get(int(argument), 0))
        return
    if "PUT" in code.name or code.name == "MEMOIZE":
        memo[len(memo) if argument is None else int(argument)] = stack[-1] if stack and stack[-1] is not None else 0
        return
    taken: list[int] = []
    before = code.stack_before
    if pickletools.markobject in before:
        while stack and (top := stack.pop()) is not None:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        if stack and (top := stack.pop()) is not None:
            taken.append(top)
    if code.name in _ADDING and taken:
        *parts, whole = taken
        stack.append(max([whole, *(part + 1 for part in parts)]))
    else:
        for made in code.stack_after:
            stack.append(None if made is pickletools.markobject else max(taken, default=-1) + 1)
    if stack and (stack[-1] or 0) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} times")
