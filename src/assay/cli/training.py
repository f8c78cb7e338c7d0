"""`assay train` and `assay test`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["test", "train"]

ConfigArgument = Annotated[Path | None, typer.Argument(metavar="CONFIG", help="JSON or YAML.", show_default=False)]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace one value; may be repeated.")
]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", metavar="PACKAGE", help="A package that components may come from.")
]


def train(
    file: ConfigArgument = None,
    config: ConfigOption = None,
    overrides: Overrides = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on from the newest checkpoint of a run.")
    ] = None,
    allow: Allow = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-change", metavar="KEY", help="On resume: a key that may differ from the run's; data: the dataset."
        ),
    ] = None,
    require_exact: Annotated[
        bool, typer.Option("--require-exact", help="On resume: stop where the same bits cannot be promised.")
    ] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Look at a step on paper and a real batch first.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Check a configuration, run it, and leave a complete run folder."""
    from assay.errors import ConfigError, Problem
    from assay.experiment import api
    from assay.utils.distributed import place
    from assay.utils.streams import enduring

    config = config or file
    if config is None and resume is None:
        problem = Problem("give a configuration, or a run to resume", hint="--config=configs/runs/default.json")
        raise ConfigError.of(problem)

    with enduring():
        try:
            run = api.train(
                config,
                resume=resume,
                overrides=overrides or (),
                allow=allow or (),
                allow_change=allow_change or (),
                require_exact=require_exact,
                preflight=preflight,
                quiet=quiet,
            )
        finally:
            # Python goes through all objects of torch several times before it ends, which takes up to three seconds of
            # the ten that a run has after its last step. Once is enough: what is left lives as long as the process.
            gc.collect()
            gc.freeze()
        if not quiet and not place().rank:
            from assay.cli.tables import print_result

            print_result(run.folder)


def test(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its folder, the name of it, or last.")],
    checkpoint: Annotated[str, typer.Option(help="best, last, or step-…")] = "best",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    allow: Allow = None,
) -> None:
    """Measure a checkpoint of a run on its test split; the run is left as it is."""
    from assay.cli.tables import print_values
    from assay.experiment import api

    opened = api.open(run, allow=allow or ())
    print_values(opened.folder, checkpoint, opened.test(checkpoint), as_json=as_json)
