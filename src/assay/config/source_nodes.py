"""Parts of a source text: the members of a class, the names that a function needs, and a function made of its text."""

from __future__ import annotations
import __future__

import ast
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["annotation_nodes", "compiled", "free_names", "handed_on", "in_literal", "is_named", "members"]


def members(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """What a class body defines, by name; of alternatives the first comes last, and of overloads only the real one."""
    for statement in body:
        match statement:
            case ast.FunctionDef() if not any(is_named(item, "overload") for item in statement.decorator_list):
                yield statement.name, statement
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name, statement
            case ast.If():
                yield from members([*statement.orelse, *statement.body])


def is_named(node: ast.expr, name: str) -> bool:
    """Whether it is `name`, `module.name`, or a call of one of these."""
    node = node.func if isinstance(node, ast.Call) else node
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)


def in_literal(constant: ast.Constant, annotation: ast.expr) -> bool:
    """Whether a string in an annotation is a member of `Literal[…]`, not a type in quotes."""
    lists = [
        part for part in ast.walk(annotation) if isinstance(part, ast.Subscript) and is_named(part.value, "Literal")
    ]
    return any(constant is inner for part in lists for inner in ast.walk(part))


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    args = node.args
    listed = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [argument for argument in listed if argument]


def annotation_nodes(node: ast.FunctionDef) -> list[ast.expr]:
    """Those of the arguments and of what is returned."""
    listed = [*(argument.annotation for argument in _arguments(node)), node.returns]
    return [annotation for annotation in listed if annotation]


def free_names(node: ast.FunctionDef) -> list[ast.Name]:
    """Where the body, annotations and defaults speak of what is neither an argument nor set in the body."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    own = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    own |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    return [name for name in names if name.id not in own]


def handed_on(node: ast.FunctionDef) -> list[ast.Name]:
    """The global functions and classes that the body calls with its own `**kwargs`."""
    if node.args.kwarg is None:
        return []
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    called = [call.func for call in calls if any(keyword.arg is None for keyword in call.keywords)]
    return [name for name in free_names(node) if name in called]


def compiled(node: ast.FunctionDef, file: Path, names: dict[str, Any]) -> types.FunctionType:
    """The function, with annotations as text, without decorators, and with None for each default.

    Args:
        names: its globals. Nothing in the function is run.
    """
    args = node.args
    bare = ast.FunctionDef(
        name=node.name,
        args=ast.arguments(
            posonlyargs=args.posonlyargs,
            args=args.args,
            vararg=args.vararg,
            kwonlyargs=args.kwonlyargs,
            kw_defaults=[default and ast.copy_location(ast.Constant(None), default) for default in args.kw_defaults],
            kwarg=args.kwarg,
            defaults=[ast.copy_location(ast.Constant(None), default) for default in args.defaults],
        ),
        body=node.body,
        decorator_list=[],
        returns=node.returns,
    )
    tree = ast.Module([ast.copy_location(bare, node)], type_ignores=[])
    made: dict[str, Any] = {}
    exec(compile(tree, str(file), "exec", __future__.annotations.compiler_flag, dont_inherit=True), names, made)
    function: types.FunctionType = made[node.name]
    return function
