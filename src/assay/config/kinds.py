"""The slots of a configuration, and the names that may stand in each: of tables, and from the text of packages."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.config.limits import Limit

__all__ = ["Family", "Kind"]


@dataclass(frozen=True)
class Family:
    """Classes of an installed package that may be named as they are.

    Args:
        package: where the object is found, e.g. `torch.nn`.
        source: files under the installed top-level package whose text lists the names, as glob patterns.
        names: a regular expression that a name must match in full.
    """

    package: str
    source: tuple[str, ...]
    names: str = r"[A-Z]\w*"

    def listed(self) -> frozenset[str]:
        pattern = re.compile(self.names)
        return frozenset(
            name for name in _names_in(self.package.partition(".")[0], self.source) if pattern.fullmatch(name)
        )


@dataclass(frozen=True)
class Kind:
    """One slot of the configuration.

    Args:
        name: the word for it in messages, e.g. `loss`.
        base: `module:Class` of what an object of this kind must be a subclass of (several: any of them).
        table: assay's own names, each with its `module:Class`.
        families: packages whose classes may be named.
        functions: whether a function of the project or of a family may stand for a class (models).
        runtime: arguments that assay supplies itself, so that a configuration need not.
        reserved: those of them that a configuration may not give.
        measures: what a component of the tables is recorded as, from its name and arguments (metrics).
        limits: ranges of arguments of the families' classes, by `argument` or, for one class, `Class.argument`.
    """

    name: str
    base: tuple[str, ...]
    table: Mapping[str, str]
    families: tuple[Family, ...] = ()
    functions: bool = False
    runtime: frozenset[str] = field(default_factory=frozenset)
    reserved: frozenset[str] = field(default_factory=frozenset)
    measures: Callable[[str, Mapping[str, Any]], str] | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)

    def limit(self, obj: Any, argument: str) -> Limit | None:
        """The range of an argument of `obj`, where a family has it: of other classes only their signatures speak."""
        home = str(getattr(obj, "__module__", "")).partition(".")[0]
        if not any(family.package.partition(".")[0] == home for family in self.families):
            return None
        return self.limits.get(f"{getattr(obj, '__name__', '')}.{argument}", self.limits.get(argument))

    def lists(self, name: str) -> bool:
        """Whether the name stands in a table, so that it says without an import where it leads."""
        return name in self.table or any(name in family.listed() for family in self.families)

    def names(self) -> list[str]:
        listed: set[str] = set(self.table)
        for family in self.families:
            listed |= family.listed()
        return sorted(listed)


@lru_cache(maxsize=64)
def _names_in(top: str, source: tuple[str, ...]) -> frozenset[str]:
    """Public names that the text of installed files gives, without importing the package."""
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    folder = Path(next(iter(spec.submodule_search_locations)))
    names: set[str] = set()
    for pattern in source:
        for file in sorted(folder.glob(pattern)):
            names |= _public(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(names)


def _public(tree: ast.Module) -> set[str]:
    """The `__all__` of a module, or, where it has none, the names that it imports from elsewhere."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            # Some lists are sums of lists: every string in the expression is a name.
            return {
                part.value
                for part in ast.walk(node.value)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not alias.name.startswith("_")
    }
