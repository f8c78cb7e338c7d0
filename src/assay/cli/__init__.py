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
    import typer

    from assay.cli.app import app
    from assay.cli.messages import UsageError, told, usage_problem
    from assay.errors import AssayError, ConfigError, Interrupted
    from assay.utils.secrets import conceal
    from assay.utils.streams import flush, open_closed

    open_closed()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug, everything = "--debug" in given, "--all" in given
    words = [argument for argument in given if argument not in ("--debug", "--all")]
    try:
        code = app(words or ["--help"], prog_name="assay", standalone_mode=False)
    except AssayError as error:
        kind = "" if isinstance(error, Interrupted) else "error: "  # what was asked for is none
        _say(told(error, everything=everything), kind, debug=debug, is_bug=error.exit_code == 70)
        sys.exit(error.exit_code)
    except UsageError as error:
        _say(told(ConfigError.of(usage_problem(error))), debug=debug)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)  # the reader of our output has gone, e.g. `assay runs | head`
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # the parser of the command line has made an end of it
            os._exit(0)
        raise
    except Exception as error:
        _say(conceal(f"a bug in assay: {type(error).__name__}: {error}"), debug=debug, is_bug=True)
        sys.exit(70)
    finally:
        flush()
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, kind: str = "error: ", *, debug: bool, is_bug: bool = False) -> None:
    """An error to its place; with its traceback, without what the environment held, where `--debug` asks for it."""
    from assay.cli.launched import to_tell
    from assay.utils.secrets import conceal
    from assay.utils.streams import enduring

    if not (text := to_tell(text)):
        return
    lines = [conceal(traceback.format_exc()).rstrip()] if debug else []
    lines.append(kind + text)
    if is_bug and not debug:
        lines.append("run it again with --debug to see the traceback")
    with enduring():
        print("\n".join(lines), file=sys.stderr)
