"""Stand-ins for classes and functions of installed packages, made from their source text without importing them.

A stand-in has the name, parents, docstring and signature of what it stands for, so that arguments can be held against
it like against the real one, and it cannot be called. torch takes seconds to import; a mistake can be told before.
What the text does not show for certain (compiled parts, names made while a module runs) is `Unreadable`.
"""

from __future__ import annotations

import abc
import ast
import builtins
import collections.abc
import dataclasses
import enum
import importlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from assay.config.source_nodes import annotation_nodes, compiled, free_names, handed_on, in_literal, is_named, members
from assay.config.source_text import Imported, Text, text_of

__all__ = ["Unreadable", "stand_in"]


class Unreadable(Exception):
    """The source text does not say what the name stands for."""


def _opaque(module: str, name: str, **inside: Any) -> type:
    return type(name, (), {"__module__": module, **inside})


_COMPILED = ("Generator", "Size", "Tensor", "device", "dtype", "memory_format")
# Compiled, or so large that reading it takes long; what matters of these is their name.
_KNOWN: dict[tuple[str, str], Any] = {
    **{("torch", name): _opaque("torch", name) for name in _COMPILED},
    ("torch.nn.modules.module", "Module"): _opaque("torch.nn.modules.module", "Module", __call__=lambda self: None),
}
# Imported as they are: they cost next to nothing.
_REAL = frozenset(sys.stdlib_module_names) | {"typing_extensions", "annotated_types"}
_PLAIN = ast.Name | ast.Attribute | ast.Subscript | ast.Constant | ast.Tuple | ast.List | ast.BinOp | ast.UnaryOp
# Python calls these while a class is made.
_HOOKS = frozenset({"__init_subclass__", "__class_getitem__", "__set_name__", "__prepare__", "__mro_entries__"})

# What is left to do for classes that are made already: their methods may speak of classes that are being made.
_later: list[Callable[[], None]] = []


def stand_in(path: str, allowed: object = None) -> Any:
    """What `module:Name` stands for; `allowed` is there to take the place of `import_path`.

    Raises:
        Unreadable: the text does not say.
    """
    module, _, name = path.partition(":")
    try:
        found = _get(module, name)
        while _later:
            _later.pop()()
    except Exception as error:  # whatever a text of others leads to: the real one will tell
        _space.cache_clear()
        _later.clear()
        raise Unreadable(f"{path}: {type(error).__name__}: {error}") from error
    return found


@cache
def _space(module: str) -> dict[str, Any]:
    """The globals of the stand-ins of a module."""
    return {"__name__": module}


class _Module:
    """A module, for expressions such as `nn.Module`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return _get(self._name, name)


class _Names(Mapping[str, Any]):
    """The global names of a module, each made when it is asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getitem__(self, name: str) -> Any:
        return _get(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _is_real(module: str) -> bool:
    return module.partition(".")[0] in _REAL or module.startswith(("assay.config", "assay.errors"))


def _get(module: str, name: str) -> Any:
    if (module, name) in _KNOWN:
        return _KNOWN[module, name]
    if module.partition(".")[0] == "numpy":
        return _opaque(module, name, __class_getitem__=classmethod(lambda cls, item: cls))
    if _is_real(module):
        real = importlib.import_module(module)
        return getattr(real, name) if hasattr(real, name) else importlib.import_module(f"{module}.{name}")
    space = _space(module)
    if name not in space:
        made = _made(module, name)
        space.setdefault(name, made)
    return space[name]


def _made(module: str, name: str) -> Any:
    inner = f"{module}.{name}"
    if module == "torch" and text_of(inner):
        return _Module(inner)  # the text of torch itself is long, and no name in it hides a submodule
    text = text_of(module)
    if text is None:
        raise Unreadable(f"there is no text of {module}")
    binding = text.bindings.get(name)
    match binding:
        case Imported(module=other, name=""):
            return importlib.import_module(other) if _is_real(other) else _Module(other)
        case Imported(module=other, name=original) if (other, original) != (module, name):
            return _get(other, original)
        case ast.ClassDef():
            return _class(binding, text)
        case ast.FunctionDef():
            return _function(binding, text)
        case ast.expr():
            return _value(binding, text)
    for star in text.stars:
        starred = text_of(star)
        if starred and starred.public(name):
            return _get(star, name)
    if text_of(inner):
        return _Module(inner)
    for fallback in (builtins, typing, collections.abc):  # the last two as in `signatures`
        if hasattr(fallback, name):
            return getattr(fallback, name)
    raise Unreadable(f"{module} has no {name}")


def _value(node: ast.expr, text: Text) -> Any:
    """The value of an expression of names and constants; only the standard library is called."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            home = getattr(_value(part.func, text), "__module__", "")
            if not _is_real(home):
                raise Unreadable(f"a call of {home}")
        elif isinstance(part, ast.expr) and not isinstance(part, _PLAIN):
            raise Unreadable(ast.unparse(node))
    return eval(compile(ast.Expression(node), str(text.file), "eval"), {"__builtins__": {}}, _Names(text.name))


def _default(node: ast.expr, text: Text) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    try:
        return _value(node, text)
    except Unreadable:
        return object()  # there is one, and that is all that is asked of it


def _function(node: ast.FunctionDef, text: Text, needs: Iterable[ast.expr] = ()) -> types.FunctionType:
    """A function with this signature and these defaults; `needs`: what has to be known beside the annotations."""
    function = compiled(node, text.file, _space(text.name))
    args = node.args
    function.__defaults__ = tuple(_default(default, text) for default in args.defaults) or None
    named = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    function.__kwdefaults__ = {argument.arg: _default(default, text) for argument, default in named if default}
    _know([*annotation_nodes(node), *handed_on(node), *needs], text)
    return function


def _know(nodes: Iterable[ast.expr], text: Text) -> None:
    """Make what the names in these expressions stand for, those in quotes too."""
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id not in text.for_checkers:
                _get(text.name, part.id)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and not in_literal(part, node):
                _know([ast.parse(part.value, mode="eval").body], text)


def _class(node: ast.ClassDef, text: Text) -> type:
    bases = tuple(_value(base, text) for base in node.bases)
    keywords = {keyword.arg: _value(keyword.value, text) for keyword in node.keywords if keyword.arg}
    inside: dict[str, Any] = {"__module__": text.name, "__qualname__": node.name}
    inside["__doc__"] = ast.get_docstring(node, clean=False)
    is_enum = any(isinstance(base, enum.EnumMeta) for base in bases)
    inside |= _choices(node, text) if is_enum else {name: _member(part) for name, part in members(node.body)}
    decorator = next((item for item in node.decorator_list if is_named(item, "dataclass")), None)
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and decorator]
    inside |= {ast.unparse(part.target): _value(part.value, text) for part in fields if part.value}
    inside = {name: member for name, member in inside.items() if name not in _HOOKS}
    made: Any = types.new_class(node.name, bases, keywords, lambda namespace: _put(inside, namespace))
    if decorator:
        # A real one, which can be made: its own checks are part of what a value must pass.
        made.__annotations__ = {ast.unparse(part.target): _value(part.annotation, text) for part in fields}
        made = (_value(decorator, text) if isinstance(decorator, ast.Call) else dataclasses.dataclass)(made)
    _space(text.name)[node.name] = made
    for name, part in members(node.body):
        if isinstance(part, ast.FunctionDef) and (
            name in ("__init__", "__new__") or (decorator and name == "__post_init__")
        ):
            _later.append(partial(_set, made, part, text))
    return typing.cast(type, made)


def _set(made: type, method: ast.FunctionDef, text: Text) -> None:
    if method.name != "__post_init__":
        setattr(made, method.name, _function(method, text))
    elif text.name.startswith("assay."):
        setattr(made, method.name, _function(method, text, free_names(method)))
    else:
        setattr(made, method.name, _refuse)


def _refuse(self: object) -> None:
    """In the place of the check that a dataclass of another package makes: of those no code is run."""
    raise Unreadable(f"{type(self).__name__} checks itself")


def _member(part: ast.stmt) -> Any:
    """What shows that the class has it, and whether a subclass must."""
    if isinstance(part, ast.Assign | ast.AnnAssign) and part.value:
        try:
            return ast.literal_eval(part.value)
        except ValueError:
            return None
    if not isinstance(part, ast.FunctionDef):
        return None

    def method() -> None: ...

    method.__doc__ = ast.get_docstring(part, clean=False)
    is_abstract = any(is_named(decorator, "abstractmethod") for decorator in part.decorator_list)
    return abc.abstractmethod(method) if is_abstract else method


def _put(inside: Mapping[str, Any], namespace: dict[str, Any]) -> None:
    for name, member in inside.items():  # one by one: an enumeration's namespace asks for it
        namespace[name] = member


def _choices(node: ast.ClassDef, text: Text) -> dict[str, Any]:
    """The members of an enumeration; a value that the text does not show stands for itself alone."""
    made: dict[str, Any] = {}
    for name, part in members(node.body):
        if isinstance(part, ast.Assign) and not name.startswith("_"):
            same = part.value.id if isinstance(part.value, ast.Name) else ""
            made[name] = made[same] if same in made else _default(part.value, text)
    return made
