"""`assay verify`: whether a run's files are whole, without importing torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["verify"]


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its folder, the name of it, or last.")],
    folder: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("saved"),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Hold every file of a run against its sum and against the others; exit code 4 where one is damaged.

    Nothing is changed.
    """
    from assay.cli.tables import print_json
    from assay.store.run_folder import RunFolder, find_run
    from assay.store.verification import verify as look

    # A path is enough where the file that makes a folder a run is what is missing.
    found = RunFolder(Path(run)) if (Path(run) / "checkpoints").is_dir() else find_run(run, folder)
    checks = look(found)
    faults = sum(len(check.faults) for check in checks)
    if as_json:
        plain = [{"name": check.name, "found": check.found, "faults": check.faults} for check in checks]
        print_json({"ok": not faults, "run": str(found.path), "checks": plain})
    else:
        for check in checks:
            typer.echo(f"{check.name:<12} {check.found:<14} {'damaged' if check.faults else 'whole'}")
            for fault in check.faults:
                typer.echo(f"{'':<12} {fault}")
        typer.echo(f"{found.path}: {f'{faults} fault' + 's' * (faults > 1) if faults else 'all is whole'}")
    if faults:
        raise typer.Exit(4)
