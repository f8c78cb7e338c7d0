"""`assay check`: everything that can be known before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.training import Allow, ConfigArgument, ConfigOption, Overrides

__all__ = ["check"]


def check(
    config: ConfigArgument = None,
    config_option: ConfigOption = None,
    overrides: Overrides = None,
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="Say where a value comes from and what it means.")
    ] = None,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say all that is wrong with a configuration; or how large the run is, and what it will do.

    With --all more than twenty mistakes are shown, and each in full.
    """
    from assay.errors import AssayError, ConfigError, Problem

    try:
        file = config or config_option
        if file is None:
            raise ConfigError.of(Problem("give a configuration", hint="assay check configs/runs/default.json"))
        _check(file, overrides or [], explain, tuple(allow or ()), as_json)
    except AssayError as error:
        if not as_json:
            raise
        from assay.cli.tables import print_json

        print_json({"ok": False, "exit_code": error.exit_code, "problems": _plain(error)})
        raise typer.Exit(error.exit_code) from error


def _check(file: Path, overrides: list[str], explain: str | None, allow: tuple[str, ...], as_json: bool) -> None:
    from assay.cli import reports
    from assay.config.components import Allowed, project_root
    from assay.experiment.checking import checked, examined

    if explain is not None:
        import torch  # noqa: F401 - with it there the classes are looked at themselves, also beside mistakes

        from assay.experiment.explaining import explained

        found = examined(file, overrides, Allowed(project_root(), allow))
        reports.print_explained(explained(found, explain), as_json=as_json)
        if found.problems and not as_json:
            count = len(found.problems)
            typer.echo(f"note: there {'is a mistake' if count == 1 else f'are {count} mistakes'}: assay check {file}")
        return
    found = examined(file, overrides, Allowed(project_root(), allow))
    whole = checked(found)

    from assay.experiment.preflight import preflight, report

    reports.print_report(file, report(preflight(whole)), as_json=as_json)


def _plain(error: Any) -> list[dict[str, Any]]:
    """Every problem, without the rendering."""
    from assay.errors import ConfigError, Problem
    from assay.utils.secrets import concealed

    problems = error.problems if isinstance(error, ConfigError) else ()
    told = problems or [Problem(error.message, None, error.where, error.found, error.expected, error.hint)]
    return [
        {
            "message": problem.message,
            "file": problem.place.file if problem.place else None,
            "line": problem.place.line if problem.place else None,
            "column": problem.place.column if problem.place else None,
            **{name: getattr(problem, name) for name in ("key", "found", "expected", "hint")},
        }
        for problem in map(concealed, told)
    ]
