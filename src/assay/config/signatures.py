"""What a class or function may be called with, read from its signature and those of its parents."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from assay.config.docstrings import described, documentation
from assay.config.written_types import written_type

__all__ = ["Parameter", "Parameters", "parameters"]

# Names that a module may import for type checkers only; torch does.
_FALLBACK = {**vars(collections.abc), **vars(typing)}


@dataclass(frozen=True)
class Parameter:
    """One argument; `annotation` is `Any` where none can be resolved and no docstring has a type that is surely read.

    Args:
        docs: the docstrings that may describe it, the nearest first.
    """

    name: str
    annotation: Any = Any
    default: Any = inspect.Parameter.empty
    required: bool = False
    docs: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def description(self) -> str:
        """What it means, in one paragraph; empty where no docstring says."""
        return next((known.text for doc in self.docs if (known := described(doc).get(self.name)) and known.text), "")

    def documented(self, docs: tuple[str, ...]) -> Parameter:
        """With docstrings that come before those it has; without an annotation, the type that they write."""
        docs = (*docs, *self.docs)
        annotation = self.annotation
        if annotation is Any:
            written = (known.written for doc in docs if (known := described(doc).get(self.name)) and known.written)
            annotation = written_type(next(written, ""))
            # A default of another type shows that the docstring does not say all.
            if not _is_of(annotation, self.default):
                annotation = Any
        return replace(self, annotation=annotation, docs=docs)


@dataclass(frozen=True)
class Parameters:
    """The arguments by name.

    Args:
        known: every argument that has a name, parents' included where `**kwargs` leads to them.
        open: whether names that are not known are taken too.
        positional_only: those of `known` that must be passed by position, in order.
        spread: the name behind `*`, or an empty string; it is in `known` as a list.
    """

    known: Mapping[str, Parameter] = field(default_factory=dict)
    open: bool = False
    positional_only: tuple[str, ...] = ()
    spread: str = ""

    def optional(self) -> dict[str, Parameter]:
        """As seen through a child's `**kwargs`: it may pass required ones itself, so none is required."""
        return {
            name: replace(parameter, required=False)
            for name, parameter in self.known.items()
            if name not in self.positional_only and name != self.spread
        }


@lru_cache(maxsize=512)
def parameters(obj: Any) -> Parameters:
    """The arguments that `obj`, a class or a function, can be called with."""
    found = _along(list(_initialisers(obj))) if inspect.isclass(obj) else _of(obj, bound=True, parents=[])
    return _documented(found, documentation(obj))


def _documented(found: Parameters, docs: tuple[str, ...]) -> Parameters:
    return replace(found, known={name: parameter.documented(docs) for name, parameter in found.known.items()})


def _is_of(annotation: Any, default: Any) -> bool:
    """Whether a default (or none) is of the plain types of an annotation, as far as these can be told."""
    if annotation is Any or default is None or default is inspect.Parameter.empty:
        return True
    of = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    for member in of or (annotation,):
        if typing.get_origin(member) is typing.Literal:
            fits = default in typing.get_args(member)
        elif isinstance(default, bool) or member is bool:
            fits = isinstance(default, bool) and member is bool
        else:
            fits = isinstance(default, (int, float) if member is float else typing.get_origin(member) or member)
        if fits:
            return True
    return False


def _initialisers(cls: type) -> Iterator[tuple[Callable[..., Any], bool]]:
    """Each `__init__` (or `__new__`) along the MRO, and whether it is a `__new__`."""
    for base in cls.__mro__:
        # torch.nn.Module has an __init__(*args, **kwargs) that refuses whatever it is given.
        if base is object or (base.__module__, base.__name__) == ("torch.nn.modules.module", "Module"):
            return
        if "__init__" in vars(base):
            yield base.__dict__["__init__"], False
        elif "__new__" in vars(base):
            yield base.__new__, True


def _along(chain: list[tuple[Callable[..., Any], bool]]) -> Parameters:
    if not chain:
        return Parameters()
    (function, is_new), parents = chain[0], chain[1:]
    return _of(function, bound=False, parents=None if is_new else parents)


def _of(function: Callable[..., Any], bound: bool, parents: list[tuple[Callable[..., Any], bool]] | None) -> Parameters:
    """The arguments of one function.

    Args:
        bound: there is no `self` to leave out.
        parents: the initialisers that come next on the MRO; None for a `__new__`.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return Parameters(open=True)
    target = inspect.unwrap(function)
    known: dict[str, Parameter] = {}
    positional_only: list[str] = []
    spread = rest = ""
    for parameter in list(signature.parameters.values())[0 if bound else 1 :]:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            rest = parameter.name
            continue
        annotation = _resolved(target, parameter.annotation)
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            spread, annotation, required = parameter.name, types.GenericAlias(list, (annotation,)), False
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional_only.append(parameter.name)
        known[parameter.name] = Parameter(parameter.name, annotation, parameter.default, required)
    is_open = False
    if rest:
        if spread:  # (*args, **kwargs) hands everything on: the names stand with the parent
            del known[spread]
            spread = ""
        if bound or parents is None:
            # The body says more than the annotation: torchvision's ViTs take image_size, which the class requires.
            more = _passed_on(target, rest)
            more = _of_class(_resolved(target, signature.return_annotation), function) if more.open else more
        else:
            more = _behind(target, rest, parents)
        known = {**more.optional(), **known}
        is_open = more.open
    return Parameters(known, is_open, tuple(positional_only), spread)


def _of_class(cls: Any, function: Callable[..., Any]) -> Parameters:
    """What `**kwargs` of a function lead to: the class it says to return, where that says anything."""
    if not inspect.isclass(cls) or cls is Any:
        return Parameters(open=True)
    # A `__new__` that says to return its own class leads to what comes after it.
    chain = [link for link in _initialisers(cls) if link[0] is not function]
    if not chain:
        return Parameters(open=True)
    reached = _documented(_along(chain), documentation(cls))
    # What the class requires, the function passes itself.
    return replace(reached, known={name: known for name, known in reached.known.items() if not known.required})


def _passed_on(function: Any, rest: str) -> Parameters:
    """What `**rest` of a function leads to: the arguments of what it calls with it, as in `return Net(**kwargs)`."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return Parameters(open=True)
    known = _taken(body, rest)
    calls = [node for node in ast.walk(body) if isinstance(node, ast.Call) and _hands(node, rest)]
    is_open = not calls
    for call in calls:
        called: Any = function.__globals__.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if called is function or not (inspect.isclass(called) or inspect.isfunction(called)):
            is_open = True
            continue
        reached: Parameters = parameters(called)  # type: ignore[arg-type]  # classes and functions are hashable
        given = {keyword.arg for keyword in call.keywords}
        given |= set(list(inspect.signature(called).parameters)[: len(call.args)])
        known |= {name: parameter for name, parameter in reached.optional().items() if name not in given}
        is_open = is_open or reached.open or any(isinstance(argument, ast.Starred) for argument in call.args)
    return Parameters(known, is_open)


def _behind(function: Any, rest: str, parents: list[tuple[Callable[..., Any], bool]]) -> Parameters:
    """What `**rest` of an initialiser leads to: what its body takes out of it, and its parents' arguments."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return _along(parents) if parents else Parameters(open=True)
    taken = _taken(body, rest)
    up, elsewhere = _handed_on(body, rest)
    if elsewhere or not (up or taken or _unused(body, rest)):
        return Parameters(taken, open=True)
    above = _along(parents) if up else Parameters()
    return Parameters({**above.optional(), **taken}, above.open)


def _unused(body: ast.AST, rest: str) -> bool:
    """Whether the code never looks at `rest`, so that a mistyped name would vanish in it."""
    return not any(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(body))


def _taken(body: ast.AST, rest: str) -> dict[str, Parameter]:
    """Names that the code takes from the mapping `rest` by `pop`, `get` or `[]`."""
    found: list[ast.expr] = []
    for node in ast.walk(body):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="pop" | "get"), args=[key, *_]):
                if name == rest:
                    found.append(key)
            case ast.Subscript(value=ast.Name(id=name), slice=key, ctx=ast.Load()) if name == rest:
                found.append(key)
    keys = [key.value for key in found if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return {key: Parameter(key) for key in keys}


def _handed_on(body: ast.AST, rest: str) -> tuple[bool, bool]:
    """Whether the code passes `**rest` to a parent's initialiser, and whether to anything else."""
    up = elsewhere = False
    for node in ast.walk(body):
        if not isinstance(node, ast.Call):
            continue
        handed = _hands(node, rest)
        if handed and isinstance(node.func, ast.Attribute) and node.func.attr in ("__init__", "__new__"):
            up = True
        elif handed:
            elsewhere = True
    return up, elsewhere


def _hands(call: ast.Call, rest: str) -> bool:
    """Whether the call passes `**rest`."""
    return any(
        keyword.arg is None and isinstance(keyword.value, ast.Name) and keyword.value.id == rest
        for keyword in call.keywords
    )


def _resolved(function: Any, annotation: Any) -> Any:
    """The annotation as an object; one that cannot be resolved says nothing."""
    if annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    names = {**_FALLBACK, **getattr(function, "__globals__", {})}
    try:
        return typing.get_type_hints(holder, names, names, include_extras=True)["it"]
    except (NameError, AttributeError, TypeError, SyntaxError, ImportError):
        return Any if isinstance(annotation, str) else annotation
