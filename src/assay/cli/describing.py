"""`assay components` and `assay schema`: what may be named and written, and what each component takes."""

from __future__ import annotations

import contextlib
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assay.experiment.inventory import Entry

__all__ = ["components", "schema"]


def components(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="A kind, e.g. optimizer.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A component of this kind.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="PACKAGE", help="A package that it may come from.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the kinds of components, the components of a kind, or the arguments of one."""
    from assay.cli.tables import print_json
    from assay.config.components import Allowed, project_root
    from assay.experiment import inventory

    if kind is None:
        rows = list(inventory.MEANINGS.items())
        print_json([{"kind": name, "meaning": meaning} for name, meaning in rows]) if as_json else _print_rows(rows)
        return
    allowed = Allowed(project_root(), tuple(allow or ()))
    found = inventory.kind_named(kind)
    if name is not None:
        entry = inventory.entry(found, name, allowed)
        print_json(_plain(entry)) if as_json else _print_entry(entry)
        return
    entries = inventory.entries(found, allowed)
    if as_json:
        print_json([{"name": entry.name, "meaning": entry.summary} for entry in entries])
    else:
        _print_rows([(entry.name, entry.summary) for entry in entries])
        typer.echo(f"\nor package.module:Name of your own; arguments: assay components {found.name} NAME")


def schema(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - prints it.")
    ] = "configs/schema.json",
    docs: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the same as a page to read, too.")] = None,
) -> None:
    """Write the JSON Schema of configurations, with which an editor completes and underlines."""
    from assay.config.components import Allowed, project_root
    from assay.experiment.config_docs import config_docs
    from assay.experiment.json_schema import json_schema, schema_text

    allowed = Allowed(project_root())
    text = schema_text(json_schema(allowed))
    if output == "-":
        typer.echo(text, nl=False)
    else:
        _write(Path(output), text)
    if docs is not None:
        _write(docs, config_docs(allowed))


def _write(path: Path, text: str) -> None:
    from assay.errors import StorageError
    from assay.utils.atomic import write_bytes

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, text.encode())
    except OSError as error:
        raise StorageError.writing(path, error) from error
    typer.echo(f"wrote {path}", err=True)


def _print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Two columns, one line each."""
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0)
    columns = max(width + 40, shutil.get_terminal_size((120, 24)).columns)
    for name, meaning in listed:
        typer.echo(f"{name:<{width}}  {textwrap.shorten(meaning, columns - width - 2, placeholder=' …')}".rstrip())


def _print_entry(entry: Entry) -> None:
    """The arguments, each with its type, default and meaning."""
    typer.echo(f"{entry.name} ({entry.kind.name}, {entry.obj.__module__}): {entry.summary}\n")
    columns = max(60, min(110, shutil.get_terminal_size((110, 24)).columns))
    arguments = [argument for argument, _ in entry.arguments()]
    width = max((len(argument.name) for argument in arguments), default=0)
    for argument in arguments:
        facts = [argument.type or "anything"]
        facts += ["required"] if argument.required else []
        facts += ["supplied by assay"] if argument.supplied else []
        facts += [f"default {argument.shown_default}"] if argument.shown_default and not argument.supplied else []
        head, indent = f"{argument.name:<{width}}  ", " " * (width + 4)
        typer.echo(textwrap.fill("; ".join(facts), columns, initial_indent=head, subsequent_indent=indent[2:]))
        if argument.meaning:
            typer.echo(textwrap.fill(argument.meaning, columns, initial_indent=indent, subsequent_indent=indent))
    if not arguments:
        typer.echo("It takes no arguments.")
    if entry.parameters.open:
        typer.echo("It takes other arguments as well.")


def _plain(entry: Entry) -> dict[str, Any]:
    from assay.experiment.inventory import plain_default

    names = ("name", "type", "required", "supplied", "meaning")
    arguments = []
    for argument, _ in entry.arguments():
        made: dict[str, Any] = {name: getattr(argument, name) for name in names}
        with contextlib.suppress(ValueError):  # there is none, or JSON cannot say it
            made["default"] = plain_default(argument.default)
        arguments.append(made)
    return {"kind": entry.kind.name, "name": entry.name, "meaning": entry.summary, "arguments": arguments}
