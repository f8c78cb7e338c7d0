"""What a checkpoint was made with, beside the configuration: a resume holds it against what there is now."""

from __future__ import annotations

import hashlib
import hmac
import json
import platform
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from assay import __version__
from assay.config.check import Checked
from assay.config.document import At, dotted
from assay.config.provenance import leaves
from assay.data import fingerprint as of_data
from assay.experiment.build import Built
from assay.store.environment import code_digests, package_digest, processor
from assay.utils.credentials import names_secret

__all__ = ["fingerprint", "holds_same", "outside_values"]


def fingerprint(checked: Checked, built: Built, root: Path) -> dict[str, dict[str, Any]]:
    """Plain values by group: `software`, `machine`, `arithmetic`, `code`, `data` and `outside`."""
    device, strategy = built.trainer.device, built.trainer.strategy
    machine = {"device": device.type}
    if device.type == "cuda":
        machine["GPU"] = torch.cuda.get_device_name(device)
    else:
        machine |= {"processor": processor(), "instructions": torch.backends.cpu.get_cpu_capability()}
    software = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    software |= {"torchvision": torchvision.__version__, "assay": f"{__version__} ({package_digest()})"}
    if device.type == "cuda":
        software |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    loaders = {"train": built.data.train, "validation": built.data.validation, "test": built.data.test}
    known: dict[int, str] = {}
    return {
        "software": software,
        "machine": machine,
        "arithmetic": {
            "threads": built.host["threads"],
            "memory format": built.host["memory_format"],
            "matrix products": torch.get_float32_matmul_precision(),
            "processes": f"{strategy.size} (fsdp)" if strategy.name == "fsdp" else strategy.size,
        },
        "code": code_digests(root),
        "data": {split: of_data.fingerprint(loader, known) for split, loader in loaders.items() if loader is not None},
        "outside": _outside(checked),
    }


def holds_same(digest: str, value: Any) -> bool:
    """Whether a value from the environment or a file is the one that `fingerprint` has seen."""
    salt, _, held = digest.partition("$")
    return hmac.compare_digest(_hidden(value, salt), held)


def outside_values(checked: Checked) -> dict[str, tuple[str, Any]]:
    """Of every key whose value came from the environment or a file: the text that is written for it, and the value."""
    held = dict(leaves(checked.config.model_dump(mode="json")))
    return {
        dotted(at): (str(text), held[at])
        for at, text in leaves(checked.complete)
        if at in held and held[at] != text and _is_reference(text) and not _is_secret(at)
    }


def _outside(checked: Checked) -> dict[str, str]:
    salt = secrets.token_hex(8)  # of its own, so that no table of digests helps
    return {key: f"{salt}${_hidden(value, salt)}" for key, (_, value) in outside_values(checked).items()}


def _hidden(value: Any, salt: str) -> str:
    """Enough to notice a change, slow and short enough to find no value by."""
    text = json.dumps(value).encode()
    return hashlib.scrypt(text, salt=salt.encode(), n=1 << 13, r=8, p=1, dklen=3).hex()


def _is_reference(text: Any) -> bool:
    return isinstance(text, str) and ("${env:" in text or "${file:" in text)


def _is_secret(at: At) -> bool:
    """A password may change; not even three bytes of its digest are kept."""
    return any(names_secret(str(part)) for part in at)
