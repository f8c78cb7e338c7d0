"""What a trainer or a metric shows beside its numbers: texts, pictures and files, kept until the next record."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.trainer.media import write_pictures

__all__ = ["Attachments", "write_content"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%+-]*(/[A-Za-z0-9_][A-Za-z0-9_.@%+-]*)*")

Entries = dict[str, dict[str, Any]]


class Attachments:
    """What waits for the next record of its phase; of one name the last counts.

    The files are written at once, so that what waits is small and is saved with the checkpoint (`waiting` is the
    trainer's `progress.attached`): a resumed run records what the other would have.

    Args:
        folder: `media/` of the run; None: there is no run, and nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.phase = "train"
        """Of the steps that are made now."""

    def add(self, waiting: dict[str, Entries], name: str, step: int, content: Any) -> None:
        """
        Raises:
            ValueError: the name is not one for a file, or a tensor is no picture.
            TypeError: nothing that can be shown.
        """
        if self.folder is not None:
            entry = write_content(self.folder, f"{self.phase}-{checked(name)}", step, content)
            waiting.setdefault(self.phase, {})[name] = entry

    @staticmethod
    def take(waiting: dict[str, Entries], phase: str) -> Entries:
        """What waits for a record of this phase; the steps of a training are in its windows or its epochs."""
        return waiting.pop("train" if phase == "batch" else phase, {}) if waiting else {}


def checked(name: str) -> str:
    """
    Raises:
        ValueError: the name is not one for a file.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"nothing can be attached as {name!r}: expected letters, digits and _ . @ % + -")
    return name


def write_content(folder: Path, name: str, step: int, content: Any) -> dict[str, Any]:
    """Write it to `media/` and return its entry in the journal.

    Args:
        content: a text (Markdown); a picture (H, W), (C, H, W) or several (B, C, H, W), C 1 or 3, as tensor or array,
            bytes or floats from 0 to 1 as they are and other floats stretched; a figure of matplotlib; the path of a
            file, of which a copy is kept.

    Raises:
        ValueError: a tensor in none of these shapes.
        TypeError: something else.
        OSError: a path of no file, or the disk refuses.
    """
    stem = f"{name.replace('/', '-')}-{step:08d}"
    if isinstance(content, str):
        path = folder / f"{stem}.txt"
        path.write_text(content, encoding="utf-8", errors="replace", newline="")
        return {"kind": "text", "path": f"media/{path.name}"}
    if isinstance(content, Path):
        path = folder / f"{stem}{content.suffix}"
        shutil.copyfile(content, path)
        return {"kind": "image" if content.suffix.lower() == ".png" else "file", "path": f"media/{path.name}"}
    if isinstance(content, np.ndarray):
        content = torch.from_numpy(content)
    if isinstance(content, Tensor):
        return write_pictures(folder / f"{stem}.png", content.detach())
    if hasattr(content, "savefig"):
        path = folder / f"{stem}.png"
        content.savefig(path, format="png")
        return {"kind": "image", "path": f"media/{path.name}"}
    raise TypeError(
        f"a {type(content).__name__} cannot be attached: expected a text, a picture (tensor, array or figure) or a Path"
    )
