"""What components say against a configuration, with the places of the keys, and all of it together."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from assay.config.check import Checked
from assay.config.document import undotted
from assay.errors import AssayError, ConfigError, Problem

__all__ = ["Findings", "placed", "with_places"]


class Findings:
    """Problems of several parts of a run, gathered so that they can be told at once."""

    def __init__(self, checked: Checked) -> None:
        self.checked = checked
        self.problems: list[Problem] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part whose mistakes do not keep the others from being looked at."""
        try:
            with placed(self.checked):
                yield
        except ConfigError as error:
            self.problems += error.problems

    def tell(self) -> None:
        """
        Raises:
            ConfigError: there is something to tell.
        """
        if self.problems:
            raise ConfigError(list(dict.fromkeys(self.problems)))


@contextmanager
def placed(checked: Checked) -> Iterator[None]:
    """Problems that name a key get the place of that key in the user's files; what else a part raises is one."""
    try:
        yield
    except (AssayError, MemoryError) as error:
        if not isinstance(error, ConfigError):
            raise
        raise with_places(error, checked) from error.__cause__
    except (Exception, SystemExit) as error:  # a component's constructor may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        problem = Problem(
            f"a component cannot be built: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            found=f"raised at {last.filename}:{last.lineno}",
            hint="--debug shows the whole traceback",
        )
        raise ConfigError.of(problem) from error


def with_places(error: ConfigError, checked: Checked) -> ConfigError:
    """The same problems; those that name a key have the place of that key, or else the one they have, or that of what
    holds it."""
    places = checked.places
    problems = []
    for problem in error.problems:
        path = written = tuple(part for part in undotted(problem.key) if part != "")
        while path and path not in places:
            path = path[:-1]
        is_known = bool(path) and (path == written or not problem.place)
        problems.append(replace(problem, place=places[path]) if is_known else problem)
    return ConfigError(problems)
