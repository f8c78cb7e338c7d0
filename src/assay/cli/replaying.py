"""`assay replay`: a step that failed, made again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.training import Allow
from assay.errors import few

if TYPE_CHECKING:
    from assay.experiment.inspection import Range
    from assay.experiment.replaying import Replayed

__all__ = ["replay"]


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its folder, the name of it, or last.")],
    step: Annotated[
        int | None, typer.Option(help="Updates done before it; default: the last one that failed.", show_default=False)
    ] = None,
    pdb: Annotated[bool, typer.Option("--pdb", help="Enter Python's debugger where it fails.")] = False,
    allow: Allow = None,
) -> None:
    """Make the step in which a run failed again, and show what every layer gave; exit as the run did, or 0."""
    from assay.experiment import api

    shown = api.open(run, allow=allow or ()).replay(step, debug=pdb)
    print_replayed(shown)
    if shown.error is not None:
        raise shown.error


def print_replayed(shown: Replayed) -> None:
    """What the step was, and the range of every output and gradient in it."""
    from assay.cli.tables import print_table

    at = shown.at
    print(f"{at.phase}: step {at.step}, epoch {at.epoch}, batch {at.batch}, samples {few(at.samples)}")
    print(f"in the run:  {shown.before}")
    print(f"now:         {str(shown.error).splitlines()[0] if shown.error else 'it did not fail'}\n")
    bad = [seen for seen in shown.passes if seen.output and seen.output.bad]
    against = [seen for seen in reversed(shown.passes) if seen.gradient and seen.gradient.bad]
    rows = []
    counts = Counter(seen.name for seen in shown.passes)
    numbers: Counter[str] = Counter()
    for seen in shown.passes:
        numbers[seen.name] += 1
        turn = f" (pass {numbers[seen.name]} of {counts[seen.name]})" if counts[seen.name] > 1 else ""
        mark = "<- first not finite" if bad and seen is bad[0] else ""
        if not bad and against and seen is against[0]:
            mark = "<- first gradient not finite"
        rows.append((seen.name + turn, seen.kind, _range(seen.output), _range(seen.gradient), mark))
    print_table(("layer", "type", "output", "gradient of the output", ""), rows)
    if shown.gradients:
        print()
        print_table(("parameter", "gradient"), [(name, _range(held)) for name, held in shown.gradients.items()])
    print()


def _range(held: Range | None) -> str:
    if held is None:
        return "-"
    bad = f", {held.bad:,} of {held.count:,} not finite" if held.bad else ""
    return f"{held.least:.4g} to {held.most:.4g}{bad}"
