"""A configuration held against all that a run may name. Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.config.check import Checked, Examined, examine
from assay.config.components import Allowed, project_root
from assay.config.load import load
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS

__all__ = ["checked", "examined"]


def examined(
    config: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    allowed: Allowed | None = None,
    objects: Mapping[str, Any] | None = None,
) -> Examined:
    """Read a configuration and find every mistake in it; `checked` raises them.

    Args:
        config: a file, or a mapping of the same shape.
        overrides: texts such as `optimizer.args.lr=0.1`.
        allowed: where components of one's own may come from; default: the project that the process is in.
        objects: Python classes or objects that stand for names of this configuration.

    Raises:
        ConfigError: a file is missing or cannot be read, or a setting cannot be applied.
    """
    return examine(load(config, overrides), KINDS, allowed or Allowed(project_root()), objects)


def checked(found: Examined) -> Checked:
    """The configuration, which has no mistakes that can be seen without its data.

    Raises:
        ConfigError: with every mistake, and what the constructors of components say in which none was found.
    """
    if found.problems and found.components:
        from assay.experiment.trials import try_all

        raise ConfigError(list(dict.fromkeys([*found.problems, *try_all(found)])))
    return found.checked()
