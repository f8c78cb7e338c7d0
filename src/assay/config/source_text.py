"""Modules of installed packages as text: found, parsed and searched for names; none is imported."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = ["Imported", "Text", "text_of"]


@dataclass(frozen=True)
class Imported:
    """What an import binds: the name of another module, or that module itself."""

    module: str
    name: str = ""


Binding = ast.ClassDef | ast.FunctionDef | ast.expr | Imported


@dataclass(frozen=True)
class Text:
    """One module.

    Args:
        bindings: what each global name stands for; the last binding counts, and of alternatives the first.
        stars: the modules from which it imports `*`, the last one first.
        for_checkers: names that only type checkers see.
    """

    name: str
    file: Path
    bindings: dict[str, Binding] = field(default_factory=dict)
    stars: tuple[str, ...] = ()
    for_checkers: frozenset[str] = frozenset()

    def public(self, name: str) -> bool:
        """Whether `from … import *` takes the name along."""
        listed = self.bindings.get("__all__")
        if not isinstance(listed, ast.expr):
            return not name.startswith("_")
        for part in ast.walk(listed):
            if isinstance(part, ast.Constant) and part.value == name:
                return True
            other = self.bindings.get(part.id) if isinstance(part, ast.Name) else None  # lists are sums of lists
            text = text_of(other.module) if isinstance(other, Imported) else None
            if text and text.public(name):
                return True
        return False


@lru_cache(maxsize=1024)
def text_of(name: str) -> Text | None:
    """The module of this name; None where it is not Python text."""
    file = _file(name)
    if file is None:
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    bindings: dict[str, Binding] = {}
    stars: list[str] = []
    hidden: set[str] = set()
    for statement in _statements(tree.body, hidden):
        for bound, what in _bound(statement, package):
            if bound == "*" and isinstance(what, Imported):
                stars.insert(0, what.module)
            else:
                bindings[bound] = what
    return Text(name, file, bindings, tuple(stars), frozenset(hidden - set(bindings)))


def _file(name: str) -> Path | None:
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)  # of a top-level name: this imports nothing
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations)), *rest)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def _statements(body: Iterable[ast.stmt], hidden: set[str]) -> Iterator[ast.stmt]:
    """The statements that bind global names; those of alternatives before what they are alternatives of."""
    for statement in body:
        match statement:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                hidden |= {name for inner in statement.body for name, _ in _bound(inner, "")}
                yield from _statements(statement.orelse, hidden)
            case ast.If():
                yield from _statements([*statement.orelse, *statement.body], hidden)
            case ast.Try():
                handled = [inner for handler in statement.handlers for inner in handler.body]
                tried = [*statement.body, *statement.orelse]
                ways = [tried, handled] if any(map(_is_missing, statement.body)) else [handled, tried]
                yield from _statements([inner for way in ways for inner in way], hidden)
            case _:
                yield statement


def _is_missing(statement: ast.stmt) -> bool:
    """Whether it imports from a package that is not installed."""
    names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
    if isinstance(statement, ast.ImportFrom) and not statement.level:
        names = [statement.module or ""]
    return any(importlib.util.find_spec(name.partition(".")[0]) is None for name in names)


def _bound(statement: ast.stmt, package: str) -> Iterator[tuple[str, Binding]]:
    match statement:
        case ast.ClassDef() | ast.FunctionDef():
            yield statement.name, statement
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Import():
            for alias in statement.names:
                bound = alias.asname or alias.name.partition(".")[0]
                yield bound, Imported(alias.name if alias.asname else bound)
        case ast.ImportFrom():
            parts = package.split(".")
            inside = parts[: len(parts) + 1 - statement.level] if statement.level else []
            module = ".".join([*inside, *([statement.module] if statement.module else [])])
            for alias in statement.names:
                yield alias.asname or alias.name, Imported(module, alias.name)
