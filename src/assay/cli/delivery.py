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
    from assay.config.credentials import credentials_in
    from assay.config.load import load
    from assay.errors import ConfigError, Place, Problem
    from assay.logger.courier import launch
    from assay.store.run_folder import find_run
    from assay.utils.discreet import discreet_streams

    if setting and not logger:
        problem = Problem(
            "--set is for the arguments of one logger", Place(f"--set {setting[0]}"), hint="--logger TYPE"
        )
        raise ConfigError.of(problem)
    allowed = Allowed(project_root(), tuple(allow or ()))
    # As in a configuration, so that references are followed and a password that is written out is refused.
    source = load({"loggers": [{"type": logger, "args": {}}]}, [f"loggers.0.args.{text}" for text in setting or ()])
    if problems := source.with_problems(credentials_in(source)):
        raise ConfigError(problems)
    arguments = source.raw["loggers"][0]["args"]
    folders = [find_run(name).path for name in run]
    left = False
    try:
        with discreet_streams():
            done = launch.sync(folders, logger, args=arguments, allowed=allowed, deadline=deadline, follow=follow)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    for (folder, name), delivered in done.items():
        backlog, cursor = delivered.backlog, delivered.backlog.cursor
        rest = f", {backlog} left" if str(backlog) else ""
        refused = f", {cursor.refused} refused (courier/{name}.refused.jsonl)" if cursor.refused else ""
        typer.echo(f"{folder}: {name}: {delivered.sent} records sent{rest}{refused}")
        left = left or bool(str(backlog)) or cursor.status == "failed"
    if left:
        typer.echo("the same command sends the rest when it can be sent; --deadline SECONDS tries longer", err=True)
        raise typer.Exit(6)
