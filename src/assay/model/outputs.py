"""What a model's output means where it is more than one tensor.

There is one main output, and auxiliary ones in training. Models with auxiliary heads return a named tuple
(GoogLeNet, Inception v3) or a mapping (torchvision's segmentation models); those of Hugging Face return a
mapping with `logits`. Anything else, a plain tuple included, is a main output as a whole: only the model's
author knows what its parts are, so a trainer of one's own takes it apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["auxiliary_outputs", "main_output"]

_MAIN = ("logits", "out")


def main_output(output: Any) -> Any:
    """What the loss and the metrics are taken of: the field `logits` or `out`, else all of the output."""
    fields = _fields(output)
    return next((fields[name] for name in _MAIN if name in fields), output)


def auxiliary_outputs(output: Any) -> list[Any]:
    """The fields `aux` and `aux_logits…` beside a main one; none in evaluation, where heads give None."""
    fields = _fields(output)
    if not any(name in fields for name in _MAIN):
        return []
    return [
        value
        for name, value in fields.items()
        if (name == "aux" or name.startswith("aux_logits")) and value is not None
    ]


def _fields(output: Any) -> Mapping[str, Any]:
    if isinstance(output, Mapping):
        return output
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    return {}
