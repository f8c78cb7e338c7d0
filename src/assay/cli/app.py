"""The commands, gathered."""

from __future__ import annotations

import typer

from assay.cli import checking, delivery, describing, listing, proving, replaying, training, verifying

__all__ = ["app"]

app = typer.Typer(
    name="assay",
    help="One configuration file in, a trained and measured PyTorch model and a complete run folder out.",
    epilog="Every command takes --debug, which shows the traceback of an error, and --all, which shows every problem.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(training.train)
app.command()(checking.check)
app.command()(training.test)
app.command()(replaying.replay)
app.command()(proving.resume_check)
app.command()(listing.runs)
app.command()(listing.show)
app.command()(verifying.verify)
app.command()(delivery.sync)
app.command()(describing.components)
app.command()(describing.schema)


@app.callback()
def _root() -> None:
    """Keep `assay` a group of commands."""
