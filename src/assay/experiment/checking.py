"""A configuration held against all that a run may name. Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.config.check import Examined, examine
from assay.config.components import Allowed, project_root
from assay.config.load import load
from assay.experiment.catalog import KINDS

__all__ = ["examined"]


def examined(
    config: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    allowed: Allowed | None = None,
    objects: Mapping[str, Any] | None = None,
) -> Examined:
    """Read a configuration and find every mistake in it; `.checked()` of what comes back raises them.

    Args:
        config: a file, or a mapping of the same shape.
        overrides: texts such as `optimizer.args.lr=0.1`.
        allowed: where components of one's own may come from; default: the project that the process is in.
        objects: Python classes or objects that stand for names of this configuration.

    Raises:
        ConfigError: a file is missing or cannot be read, or a setting cannot be applied.
    """
    return examine(load(config, overrides), KINDS, allowed or Allowed(project_root()), objects)
