"""`assay resume-check`: whether a resume of a configuration's training is exact."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.training import Allow, ConfigArgument, ConfigOption, Overrides

__all__ = ["resume_check"]


def resume_check(
    file: ConfigArgument = None,
    config: ConfigOption = None,
    overrides: Overrides = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates; default: two epochs, from 12 to 40.", show_default=False)
    ] = None,
    kill_after: Annotated[
        int | None, typer.Option(min=1, help="The update after which it is killed.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Loader workers of the resumed part.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the two runs and say where they are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    allow: Allow = None,
) -> None:
    """Train some steps; train them again with a kill and a resume; say whether all is equal to the bit.

    Exit code 4 where it is not.
    """
    from assay.cli.tables import print_json, print_table
    from assay.errors import CheckpointError, ConfigError, Problem
    from assay.experiment import api

    config = config or file
    if config is None:
        raise ConfigError.of(Problem("give a configuration", hint="assay resume-check configs/runs/default.json"))
    result = api.resume_check(
        config,
        overrides=overrides or (),
        allow=allow or (),
        steps=steps,
        kill_after=kill_after,
        workers=workers,
        keep=keep,
        tell=(lambda text: None) if as_json else print,
    )
    plan = result.plan
    if as_json:
        print_json(
            {
                "exact": result.is_exact,
                "steps": plan.steps,
                "kill_after": plan.kill_after,
                "resumed_from": result.resumed_from,
                "compared": [vars(part) for part in result.compared],
                "warnings": result.warnings,
                "folder": str(result.folder) if result.folder else None,
            }
        )
    else:
        print()
        rows = [(part.name, str(part.count), str(len(part.differing) or "-")) for part in result.compared]
        print_table(("what", "compared", "different"), rows)
        print()
        for text in result.warnings:
            print(text)
        if result.folder:
            print(f"kept in {result.folder}")
    how = f"killed after step {plan.kill_after} of {plan.steps} and resumed from step {result.resumed_from}"
    if not result.is_exact:
        first = next(part for part in result.compared if part.differing)
        raise CheckpointError(
            f"a training that is {how} is not the one that is not stopped",
            found=f"first: {first.differing[0]}",
            expected="all equal to the bit",
            hint="keep what changes in training in buffers, parameters or a state_dict; draw random numbers from "
            "torch's own generators",
        )
    if not as_json:
        print(f"exact: a training that is {how} is to the bit the one that is not stopped")
