"""What a component's `type` may name, and the way from the name to the object.

A `Kind` is a slot of the configuration (model, loss, ...). A name is looked up in assay's own table, then in
the families of installed packages; else it is a path `package.module:Name`. Names come from tables and from
the source text of packages, so that a wrong name costs no import; and what may be imported is decided before
anything is. The object that comes out is checked again: its kind, and the place where it was defined.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from assay.config.kinds import Family, Kind
from assay.config.naming import a, meant, nearest, of_another_kind, unknown
from assay.errors import Problem

__all__ = [
    "Allowed",
    "Family",
    "Kind",
    "Refused",
    "Through",
    "find",
    "import_path",
    "locate",
    "nearest",
    "project_root",
]

_PATH = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[:.](?P<name>[A-Za-z_]\w*)")


# From `module:Name` to the object.
Through = Callable[[str, "Allowed | None"], Any]


class Refused(Exception):
    """A name that cannot be used; `problem` says why (without a place: the caller knows it)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class Allowed:
    """Where components of the user's own may be defined: under the project's root, or in these packages."""

    root: Path
    packages: tuple[str, ...] = ()

    def search_path(self) -> list[str]:
        return [str(self.root), str(self.root / "src")]

    def spec(self, module: str) -> importlib.machinery.ModuleSpec | None:
        """Where the project keeps `module`, found without importing anything."""
        path: Iterable[str] | None = self.search_path()
        spec = None
        for part in module.split("."):
            # By its last name alone: a folder without __init__.py would ask for its parent in sys.modules.
            spec = PathFinder.find_spec(part, list(path or []))
            if spec is None:
                return None
            path = spec.submodule_search_locations
        return spec

    def holds(self, obj: Any) -> bool:
        """Whether `obj` was defined in the project, in assay or in an allowed package (it may lie)."""
        module = str(getattr(obj, "__module__", ""))
        if module.partition(".")[0] in ("assay", *self.packages):
            return True
        file = getattr(sys.modules.get(module), "__file__", None)
        spec = self.spec(module)
        return bool(file and spec and spec.origin and Path(spec.origin).resolve() == Path(file).resolve())


def project_root(start: Path | None = None) -> Path:
    """The nearest folder from `start` upwards with a `train.py` or `pyproject.toml`; else `start` itself."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "train.py").is_file() or (folder / "pyproject.toml").is_file():
            return folder
    return start


def find(
    kind: Kind,
    name: str,
    allowed: Allowed,
    others: Iterable[Kind] = (),
    through: Through | None = None,
) -> Any:
    """The object that `name` stands for.

    Args:
        through: the way from `module:Name` to the object; default: `import_path`.

    Raises:
        Refused: the name is unknown, names another kind of thing, may not be imported, or fails to import.
    """
    others = tuple(others)
    path = locate(kind, name, allowed, others)
    obj = (through or import_path)(path, allowed)
    _check(kind, name, obj, allowed, others, through or import_path)
    return obj


def locate(kind: Kind, name: str, allowed: Allowed, others: Iterable[Kind] = ()) -> str:
    """The `module:Name` to import for `name`, found without importing anything.

    Raises:
        Refused: the name is unknown, names another kind of thing, or may not be imported.
    """
    if name in kind.table:
        return kind.table[name]
    for family in kind.families:
        if name in family.listed():
            return f"{family.package}:{name}"
    others = tuple(others)
    match = _PATH.fullmatch(name)
    if match:
        module = match["module"]
        packages = (*(family.package for family in kind.families), *allowed.packages, "assay")
        if any(module == package or module.startswith(package + ".") for package in packages):
            if f"{module}:{match['name']}" not in kind.table.values():
                _refuse_another_kind(name, kind, others)
            return f"{module}:{match['name']}"
        if allowed.spec(module):
            return f"{module}:{match['name']}"
        if allowed.spec(module.partition(".")[0]):
            raise Refused(_no_module(module, allowed))
        _refuse_another_kind(name, kind, others)
        raise Refused(
            Problem(
                f"{name!r} is not in a place that {a(kind.name)} may come from",
                found=name,
                expected=f"a module under {allowed.root}, or one of {', '.join(sorted(packages))}",
                hint=meant(name, kind, others, surely=True)
                or "write it as package.module:Name; allow another package with --allow PACKAGE",
            )
        )
    _refuse_another_kind(name, kind, others)
    raise Refused(unknown(name, kind, others))


def _refuse_another_kind(name: str, kind: Kind, others: Iterable[Kind]) -> None:
    problem = of_another_kind(name, kind, others)
    if problem is not None:
        raise Refused(problem)


def _no_module(module: str, allowed: Allowed) -> Problem:
    """The project has the package of `module`, but not the module itself."""
    parts = module.split(".")
    depth = next(n for n in range(1, len(parts) + 1) if not allowed.spec(".".join(parts[:n])))
    parent = allowed.spec(".".join(parts[: depth - 1]))
    folders = list((parent.submodule_search_locations if parent else None) or [])
    near = nearest(parts[depth - 1], (file.stem for folder in folders for file in Path(folder).glob("[!_.]*")))
    return Problem(
        f"the project has no module {module!r}",
        found=module,
        expected=f"a module under {allowed.root}",
        hint=f"did you mean {'.'.join([*parts[: depth - 1], near])}?" if near else "",
    )


def import_path(path: str, allowed: Allowed | None = None) -> Any:
    """Import `module:Name`; the project's own folders come first on the way."""
    module_name, _, name = path.partition(":")
    spec = allowed.spec(module_name) if allowed else None
    if allowed and spec:
        _enter(allowed)
    before = set(sys.modules)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module of the user's may raise anything
        raise Refused(_import_problem(module_name, error, allowed)) from error
    finally:
        if allowed and spec:
            # Those of assay that a project's module was the first to import stay: there is one BaseLogger.
            new = [name for name in set(sys.modules) - before if name.partition(".")[0] != "assay"]
            _of_projects.update(dict.fromkeys(new, allowed.root))
    file = getattr(module, "__file__", None)
    if spec and spec.origin and file and Path(file).resolve() != Path(spec.origin).resolve():
        raise Refused(
            Problem(
                f"module {module_name!r} is in the project and in an installed package as well",
                found=str(file),
                expected=str(spec.origin),
                hint="rename the module of the project",
            )
        )
    if not hasattr(module, name):
        near = nearest(name, (known for known in vars(module) if not known.startswith("_")))
        raise Refused(
            Problem(
                f"module {module_name!r} has no {name!r}",
                found=path,
                hint=f"did you mean {module_name}:{near}?" if near else "",
            )
        )
    return getattr(module, name)


# Modules that came with components of a project. One process may go from one project to another (a notebook, tests):
# then `models` means another file, and so does whatever it imports.
_of_projects: dict[str, Path] = {}


def _enter(allowed: Allowed) -> None:
    """Put the project's folders first on the path, and forget the modules of another project."""
    for name in [name for name, root in _of_projects.items() if root != allowed.root]:
        del _of_projects[name]
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and "site-packages" not in file and not file.startswith(sys.base_prefix):
            del sys.modules[name]
    for folder in reversed(allowed.search_path()):
        if Path(folder).is_dir():
            sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]


def _import_problem(module: str, error: BaseException, allowed: Allowed | None) -> Problem:
    """Why a module cannot be imported, and the statement of the project that fails, where there is one."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    frames = [(file, line) for file, line in frames if "importlib" not in file and file != __file__]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    own = [place for place in frames if allowed and Path(place[0]).is_relative_to(allowed.root)]
    at = "".join(f" at {file}:{line}" for file, line in (own or frames)[-1:])
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name and not (allowed and allowed.spec(error.name)):
        hint = f"install what provides {error.name.partition('.')[0]!r}, or correct the import"
    found = f"{type(error).__name__}: {error}{at}"
    return Problem(f"module {module!r} cannot be imported", found=found, hint=hint)


def _check(kind: Kind, name: str, obj: Any, allowed: Allowed, others: tuple[Kind, ...], through: Through) -> None:
    if inspect.isclass(obj):
        # The first base that fits is enough: torchmetrics, the second one of metrics, takes a second to import.
        fits = any(issubclass(obj, through(base, None)) for base in kind.base)
    else:
        fits = kind.functions and inspect.isfunction(obj)
    if fits and any(through(base, None) is obj for base in kind.base if base.partition(":")[2] == obj.__name__):
        hint = f"name a subclass of it: {kind.name}s have names such as {min(kind.names())}"
        raise Refused(
            Problem(f"{name!r} is what every {kind.name} is made from, and none itself", found=name, hint=hint)
        )
    if not fits:
        is_what = "a class" if inspect.isclass(obj) else f"a {type(obj).__name__}"
        wanted = " or ".join(base.partition(":")[2] for base in kind.base)
        raise Refused(
            Problem(
                f"{name!r} is not {a(kind.name)}",
                found=f"{is_what} defined in {getattr(obj, '__module__', '?')}",
                expected=f"a subclass of {wanted}" + (", or a function that returns one" if kind.functions else ""),
                hint=meant(name, kind, others),
            )
        )
    if name not in kind.table and (other := _more_exactly(kind, obj, others)):
        message = f"{name!r} is {a(other.name)}, and {a(kind.name)} belongs here"
        raise Refused(Problem(message, found=f"a class defined in {obj.__module__}"))
    if name in kind.table:
        return  # assay's own word
    home = str(getattr(obj, "__module__", ""))
    tops = {family.package.partition(".")[0] for family in kind.families}
    if inspect.isfunction(obj):
        # Calling a function is all that it takes to run it, so of a package only those that its tables list, and of
        # assay itself none: its models are classes, and `train` is a function too.
        listed = any(home.startswith(f.package) and obj.__name__ in f.listed() for f in kind.families)
        fine = listed or (home.partition(".")[0] != "assay" and allowed.holds(obj))
    else:
        fine = home.partition(".")[0] in tops or allowed.holds(obj)
    if not fine:
        raise Refused(
            Problem(
                f"{name!r} is defined in {home!r}, which is not a place that {a(kind.name)} may come from",
                found=f"{home}:{getattr(obj, '__qualname__', name)}",
                expected=f"a module under {allowed.root}, or an allowed package",
                hint="allow the package with --allow " + home.partition(".")[0],
            )
        )


def _more_exactly(kind: Kind, obj: Any, others: Iterable[Kind]) -> Kind | None:
    """The other kind that a class was made for: a metric is a module too, as any model is."""
    if not inspect.isclass(obj):
        return None
    own = [cls for base in kind.base if (cls := _imported(base))]
    for other in others:
        for base in other.base:
            cls = _imported(base)  # what was not imported is no base of a class that was
            if cls and cls not in own and issubclass(obj, cls) and any(wide in cls.__mro__ for wide in own):
                return other
    return None


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(sys.modules.get(module), name, None)
