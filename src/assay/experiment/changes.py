"""What differs between the configuration of a run and the one that it is resumed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.errors import ConfigError, Problem

__all__ = ["differences", "refuse_inexact"]

# Changing these leaves every step as it was; anything else makes the resumed run another run.
_HARMLESS = (
    "$schema",
    "folder",
    "trainer.args.epochs",
    "trainer.args.max_steps",
    "trainer.args.early_stopping",
    "testing",
    "checkpoints",
    "logging",
    "loggers",
    "data.dataset.args.root",
    "data.loader.args.workers",
    "data.loader.args.prefetch",
)


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, before, after) of every leaf that differs; None where one side has none."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield key, before, after


def refuse_inexact(changed: Sequence[tuple[str, Any, Any]], allowed: Sequence[str]) -> None:
    """Raise where a change would make the run another one and was not allowed by name.

    Raises:
        ConfigError: one problem for each such key.
    """
    problems = [
        Problem(
            f"{key} differs from the run's, so the steps would not be those of one run",
            key=key,
            found=repr(after),
            expected=repr(before),
            hint=f"--allow-change {key}",
        )
        for key, before, after in changed
        if not any(key == free or key.startswith(free + ".") for free in (*_HARMLESS, *allowed))
    ]
    if problems:
        raise ConfigError(problems)
