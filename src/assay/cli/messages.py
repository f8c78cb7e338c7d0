"""What went wrong, as the command line tells it: every mistake in the same form, and no secrets."""

from __future__ import annotations

import re
from typing import Any

import typer

from assay.config.components import nearest
from assay.config.rendering import render
from assay.errors import AssayError, ConfigError, Problem
from assay.utils.credentials import without_assignments
from assay.utils.secrets import conceal, concealed

__all__ = ["UsageError", "told", "usage_problem"]

# typer has no name of its own for what the parser of the command line raises.
UsageError: type[Any] = typer.BadParameter.__bases__[0]


def told(error: AssayError, *, everything: bool = False) -> str:
    """The error as text; `everything`: all mistakes in full, however many they are."""
    if not isinstance(error, ConfigError):
        return conceal(str(error))
    problems = [concealed(problem) for problem in error.problems]
    return render(problems, error.head, most=None if everything else error.most)


def usage_problem(error: Any) -> Problem:
    """What is wrong with a command line that the parser refused."""
    context = error.ctx
    command = context.command_path if context else "assay"
    hint = f"{command} --help"
    option = getattr(error, "option_name", "")
    if option and "No such" in error.format_message():
        names = [name for parameter in context.command.params for name in parameter.opts]
        near = nearest(option, names)
        hint = f"did you mean {near}?" if near else hint
        return Problem(f"{command!r} has no option {option}", found=option, expected=", ".join(names), hint=hint)
    no_command = re.match(r"No such command '(.*?)'", error.format_message())
    if no_command and context:
        unknown, commands = no_command[1], list(context.command.commands)
        near = nearest(unknown, commands)
        hint = f"did you mean {near}?" if near else hint
        return Problem(f"there is no command {unknown!r}", found=unknown, expected=", ".join(commands), hint=hint)
    message = without_assignments(error.format_message()).strip().rstrip(".")
    return Problem(message[:1].lower() + message[1:], hint=hint)
