"""`assay sync`: send journals to loggers."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["sync"]


def sync(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of runs, names of them, or last.")],
    logger: Annotated[str | None, typer.Option(metavar="TYPE", help="Only this logger, the run's or another.")] = None,
    allow: Annotated[list[str] | None, typer.Option("--allow", metavar="PACKAGE")] = None,
) -> None:
    """Send what the loggers of a run do not have yet; each record arrives once."""
    from assay.config.components import Allowed, project_root
    from assay.logger import launch
    from assay.store.run_folder import find_run

    allowed = Allowed(project_root(), tuple(allow or ()))
    left = 0
    for name in run:
        folder = find_run(name)
        for sink, delivered in launch.sync(folder.path, logger, allowed=allowed).items():
            rest = f", {delivered.left} left ({delivered.error})" if delivered.left else ""
            typer.echo(f"{folder.path}: {sink}: {delivered.sent} records sent{rest}")
            left += delivered.left
    if left:
        raise typer.Exit(1)
