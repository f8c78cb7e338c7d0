"""The command line: one file for each group of commands; what is heavy is imported inside each command."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code (see `assay.errors` for what each means)."""
    # Threads of OpenMP that wait by spinning take the core from the other one's work when the machine is shared: a
    # loaded step takes three times as long. It is read when torch is imported, so it is set here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from assay.cli.app import app
    from assay.config.rendering import render
    from assay.errors import AssayError, ConfigError

    given = list(sys.argv[1:] if arguments is None else arguments)
    debug, everything = "--debug" in given, "--all" in given
    try:
        app([argument for argument in given if argument not in ("--debug", "--all")], standalone_mode=True)
    except AssayError as error:
        if debug:
            traceback.print_exc()
        text = str(error)
        if isinstance(error, ConfigError) and not everything:
            text = render(error.problems)
        sys.stderr.write(f"error: {text}\n")
        if error.exit_code == 70 and not debug:
            sys.stderr.write("run it again with --debug to see the traceback\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(0)  # the reader of our output has gone, e.g. `assay runs | head`
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"error: a bug in assay: {type(error).__name__}: {error}\n")
        sys.stderr.write("" if debug else "run it again with --debug to see the traceback\n")
        sys.exit(70)
    sys.exit(0)
