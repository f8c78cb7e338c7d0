"""How MLflow wants names, pictures and the facts of a run; nothing here needs MLflow."""

from __future__ import annotations

import getpass
import hashlib
import io
import posixpath
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from assay.logger.base import RunInfo
from assay.store.journal import Record

__all__ = ["environment_tags", "legal", "picture_files", "run_tags"]

LONGEST_NAME, LONGEST_VALUE = 250, 6000
_PREVIEW = 256  # pixels: the longer side of the picture that the image grid shows


def legal(name: str) -> str:
    """The name as MLflow allows it; one that had to be changed gets four digits, so that no two become one.

    >>> legal("validation/loss"), legal("validation/top@5")
    ('validation/loss', 'validation/top_5-97ef')
    """
    allowed = posixpath.normpath(re.sub(r"[^/\w.\- :]", "_", name)).lstrip("./")
    if allowed == name and 0 < len(name) <= LONGEST_NAME:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{allowed[: LONGEST_NAME - 5]}-{digits}"


@contextmanager
def picture_files(record: Record, name: str, png: bytes, run: str) -> Iterator[list[Path]]:
    """A picture and its preview, named as MLflow's image grid reads them (as `MlflowClient.log_image` does).

    MLflow ends the name with a random number; here it is one of the record, so that a picture that is sent
    again takes its own place.

    Raises:
        OSError: the bytes are no picture.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(png))
    key = re.sub(r"[^a-zA-Z0-9_\-. ~]", "_", name.replace("/", "~"))
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"{run}/{record.id}/{name}")
    stem = f"{key}+step+{record.step}+timestamp+{round(1000 * record.time)}+{number}"
    with tempfile.TemporaryDirectory() as folder:
        whole, preview = Path(folder, f"{stem}.png"), Path(folder, f"{stem}+compressed.webp")
        whole.write_bytes(png)
        picture.thumbnail((_PREVIEW, _PREVIEW))
        picture.convert("RGB").save(preview)
        yield [whole, preview]


def run_tags(run: RunInfo) -> dict[str, str]:
    tags = {"assay.run": run.id, "assay.name": run.name, "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def environment_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """From `environment.json`: what MLflow shows as source, and where the run ran."""
    git = facts.get("git") or {}
    command = [str(word) for word in facts.get("command") or ()]
    tags = {
        "mlflow.source.name": command[0] if command else None,
        "assay.command": " ".join(command),
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "assay.host": facts.get("hostname"),
    }
    return {key: str(value)[:LONGEST_VALUE] for key, value in tags.items() if value}
