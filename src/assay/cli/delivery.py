"""`assay sync`: send journals to loggers."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["sync"]


def sync(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of runs, names of them, or last.")],
    logger: Annotated[str | None, typer.Option(metavar="TYPE", help="Only this logger, the run's or another.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An argument of a logger the run did not have."),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on with a run that goes on, until it ends.")] = False,
    deadline: Annotated[float, typer.Option(min=0, help="Seconds to go on while nothing arrives.")] = 30.0,
    allow: Annotated[list[str] | None, typer.Option("--allow", metavar="PACKAGE")] = None,
) -> None:
    """Send what the loggers of a run do not have yet; each record arrives once. Exit code 6: something is left."""
    from assay.config.components import Allowed, project_root
    from assay.config.load import load
    from assay.errors import ConfigError
    from assay.logger import launch
    from assay.logger.backlog import brief
    from assay.store.run_folder import find_run

    allowed = Allowed(project_root(), tuple(allow or ()))
    arguments = load({}, setting or ())
    if arguments.problems:
        raise ConfigError(arguments.problems)
    folders = [find_run(name).path for name in run]
    left = False
    try:
        done = launch.sync(folders, logger, args=arguments.raw, allowed=allowed, deadline=deadline, follow=follow)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    for (folder, name), delivered in done.items():
        backlog, cursor = delivered.backlog, delivered.backlog.cursor
        rest = f", {backlog} left" if str(backlog) else ""
        refused = f", {cursor.refused} refused (courier/{name}.refused.jsonl)" if cursor.refused else ""
        error = f" ({brief(cursor.error)})" if cursor.error else ""
        typer.echo(f"{folder}: {name}: {delivered.sent} records sent{rest}{refused}{error}")
        left = left or bool(str(backlog)) or cursor.status == "failed"
    if left:
        raise typer.Exit(6)
