"""A component's arguments, held against the real signature of the class that its name stands for."""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from assay.config.annotations import is_whole
from assay.config.components import Kind
from assay.config.fitting import describe, fit
from assay.config.hints import elsewhere, meant
from assay.config.limits import Limit, number, within, words
from assay.config.misfit import OUT_OF_RANGE, WRONG_VALUE, Fault, Misfit, out_of_range, show
from assay.config.signatures import Parameter, Parameters, parameters
from assay.errors import AssayError, ConfigError, Place, Problem
from assay.utils.secrets import conceal

__all__ = ["Bound", "bind"]

# What constructors raise about their arguments; anything else (no memory, no file) is no fault of those.
_ABOUT_ARGUMENTS = (TypeError, ValueError, AssertionError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Bound:
    """A class or function with the arguments that the configuration gives it.

    Args:
        name: what the configuration calls it.
        obj: the class or function; or, from Python, an object that is ready and is handed on as it is.
        args: the arguments as they stand in the configuration, plain JSON values.
        key: where the component stands, e.g. `metrics.1`.
        place: file, line and column of its `type`.
    """

    name: str
    obj: Any
    args: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    place: Place | None = None

    @property
    def parameters(self) -> Parameters:
        return Parameters() if self.is_ready else parameters(self.obj)

    @property
    def is_ready(self) -> bool:
        """Whether `obj` is an object already, with nothing left to construct."""
        return not (inspect.isclass(self.obj) or inspect.isroutine(self.obj) or isinstance(self.obj, partial))

    def accepts(self, argument: str) -> bool:
        """Whether the signature has it, itself or behind `**kwargs`; a bare `**kwargs` has no names."""
        return argument in self.parameters.known

    def fitted(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as the signature wants them: lists as tuples, names as members, "1e-3" as a number."""
        known = self.parameters.known
        return {name: _fitted(known.get(name), value) for name, value in args.items()}

    def build(self, *positional: Any, **runtime: Any) -> Any:
        """The object: `obj(*positional, **args)`, and those of `runtime` that it accepts and `args` has not.

        Raises:
            ConfigError: the constructor refuses its arguments.
        """
        if self.is_ready:
            return self.obj
        given = {name: value for name, value in runtime.items() if self.accepts(name)}
        given |= self.fitted(self.args)
        places = list(positional)
        for name in self.parameters.positional_only[len(places) :]:
            if name not in given:
                break
            places.append(given.pop(name))
        places += given.pop(self.parameters.spread, [])
        try:
            return self.obj(*places, **given)
        except ConfigError as error:
            raise ConfigError([self._of_this(problem) for problem in error.problems]) from error.__cause__
        except AssayError:
            raise
        except _ABOUT_ARGUMENTS as error:
            raise ConfigError.of(
                Problem(
                    f"{self.name!r} cannot be built with these arguments",
                    self.place,
                    self.key,
                    found=conceal(f"{type(error).__name__}: {error}{_raised_at(error)}"),
                    expected=", ".join(name for name in self.parameters.known if name != "params"),
                )
            ) from error

    def _of_this(self, problem: Problem) -> Problem:
        """What the constructor says without a place, or a key but that of an argument (`args.k`), is about this."""
        if problem.place or not (problem.key == "" or f"{problem.key}.".startswith("args.")):
            return problem
        return replace(problem, key=".".join(filter(None, (self.key, problem.key))), place=self.place)


def bind(
    kind: Kind, name: str, obj: Any, args: Mapping[str, Any], key: str = "", place: Place | None = None
) -> tuple[Bound, list[tuple[tuple[str | int, ...], Problem]]]:
    """Hold `args` against the signature of `obj`; every problem has its path inside `args`, and no place."""
    bound = Bound(name, obj, dict(args), key, place)
    known = bound.parameters.known
    problems: list[tuple[tuple[str | int, ...], Problem]] = []
    if inspect.isabstract(obj):
        missing = ", ".join(sorted(obj.__abstractmethods__))
        problems.append(((), Problem(f"{name!r} is abstract", found=f"no {missing}", hint="name a subclass of it")))
    for argument, value in args.items():
        if argument in kind.reserved:
            message, hint = f"{argument!r} of {name!r} is given by assay", "leave it out"
            problems.append(((argument,), Problem(message, found=argument, hint=hint)))
        elif argument in known:
            limit = kind.limit(obj, argument)
            problems += [((argument, *path), fault) for path, fault in _faults(name, known[argument], value, limit)]
        elif not bound.parameters.open:
            problems.append(((argument,), _unknown(name, argument, bound, kind)))
    # What is there under a mistyped name is not missing as well.
    misspelt = {_near(argument, bound, kind) for argument in args if argument not in known}
    for argument, parameter in known.items():
        if parameter.required and argument not in {*args, *kind.runtime, *misspelt}:
            expected = describe(parameter.annotation) if parameter.annotation is not Any else ""
            problems.append(((), Problem(f"{name!r} needs the argument {argument!r}", expected=expected)))
    return bound, problems


def _faults(
    name: str, parameter: Parameter, value: Any, limit: Limit | None
) -> Iterator[tuple[tuple[str | int, ...], Problem]]:
    """What is wrong with the value of one argument: its type, else its range."""
    annotation = parameter.annotation
    try:
        fit(annotation, value, parameter.default)
        faults = []
        if limit is not None and value is not None:
            faults = _of_numbers(value, limit) if annotation is Any else []
            faults = faults or out_of_range(limit, value, whole=is_whole(annotation))
    except Misfit as misfit:
        faults = misfit.faults
        if limit is not None and () not in (told := [fault[0] for fault in faults]):
            more = out_of_range(limit, value, whole=is_whole(annotation))
            faults = faults + [fault for fault in more if fault[0] not in told]
    for path, message, found, expected, hint in faults:
        about = ".".join([parameter.name, *(str(part) for part in path)]) if path else parameter.name
        text = f"{about!r} of {name!r} {message}" if message in (WRONG_VALUE, OUT_OF_RANGE) else f"{name!r}: {message}"
        if message == OUT_OF_RANGE and not path:
            hint = _default(parameter, limit)
        yield path, Problem(text, found=found, expected=expected, hint=hint)


def _of_numbers(value: Any, limit: Limit) -> list[Fault]:
    """Where the signature says nothing, a range says that numbers are wanted."""
    if isinstance(limit, tuple) or isinstance(value, list | tuple) or number(value) is not None:
        return []
    return [((), WRONG_VALUE, show(value), words(limit), "")]


def _default(parameter: Parameter, limit: Limit | None) -> str:
    default = parameter.default
    plain = number(default) is not None and (limit is None or within(limit, default))
    return f"leave it out for the default, {default}" if plain else ""


def _unknown(name: str, argument: str, bound: Bound, kind: Kind) -> Problem:
    if bound.is_ready:
        return Problem(f"{name!r} is an object already and takes no arguments", found=argument)
    near, other = _near(argument, bound, kind), elsewhere(argument)
    known = bound.parameters.known
    # What assay gives, unless the configuration does, is named where it has a default.
    allowed = [each for each in known if each not in kind.runtime or each == near or not known[each].required]
    allowed = [each for each in allowed if each not in kind.reserved]
    hint = f"did you mean {near!r}?" if near else ""
    if not near and other and other != f"{bound.key}.args.{argument}":
        hint = f"did you mean {other}?"
    return Problem(
        f"{name!r} has no argument {argument!r}",
        found=argument,
        expected=", ".join(allowed) or "no arguments",
        hint=hint,
    )


def _near(argument: str, bound: Bound, kind: Kind) -> str:
    """The argument that an unknown one stands for; one that assay gives where the configuration does not, last."""
    known = bound.parameters.known
    usual = [name for name in known if name not in kind.runtime]
    return meant(argument, usual) or meant(argument, [name for name in known if name not in kind.reserved])


def _fitted(parameter: Parameter | None, value: Any) -> Any:
    """The value as the signature wants it; as it is where it does not fit (`bind` has said so)."""
    if parameter is None:
        return copy.deepcopy(value)
    try:
        return fit(parameter.annotation, value, parameter.default)
    except Misfit:
        return value


def _raised_at(error: BaseException) -> str:
    frame: types.TracebackType | None = error.__traceback__
    frame = frame.tb_next if frame else None  # the first one is this file
    if frame is None:
        return ""
    while frame.tb_next is not None:
        frame = frame.tb_next
    return f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
