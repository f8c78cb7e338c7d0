"""`assay runs` and `assay show`: what is on disk, without importing torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["runs", "show"]


def runs(
    folder: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("saved"),
    project: Annotated[str | None, typer.Option(help="Only this project.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the runs, oldest first."""
    from assay.cli.tables import print_runs
    from assay.store import index

    found = [summary for summary in index.runs(folder) if project in (None, summary.project)]
    print_runs(found, folder, as_json=as_json)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its folder, the name of it, or last.")],
    folder: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("saved"),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show one run: its state, figures, checkpoints, and what each logger has."""
    from assay.cli.tables import print_run
    from assay.store.run_folder import find_run

    print_run(find_run(run, folder), as_json=as_json)
