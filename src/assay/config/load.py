"""A configuration from its files and command-line settings, with the place of every key and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.config.components import project_root
from assay.config.document import MAX_DEPTH, At, Document, dotted, path_of, plain, read_text
from assay.config.fitting import show
from assay.config.json_text import parse_json
from assay.config.merge import Layers, assignment
from assay.config.references import File, Variable, parts_of
from assay.config.resolve import resolve
from assay.config.yaml_text import parse_yaml
from assay.errors import ConfigError, Place, Problem
from assay.utils.credentials import HIDDEN, without_assignments
from assay.utils.secrets import conceal, concealed

__all__ = ["Source", "load"]

_PARSERS = {".json": parse_json, ".yaml": parse_yaml, ".yml": parse_yaml}
_MAX_FILES = 100


@dataclass(frozen=True)
class Source:
    """A configuration as written: nothing checked but its syntax and its references.

    Args:
        data: the merged configuration, its references followed.
        places: where each value stands, by path.
        keys: where each key of a mapping stands, by path.
        replaced: what stood at a path before (value and place, oldest first), by `extends` and settings.
        name: the file, or what else the configuration came from.
        raw: the merged configuration with its references as they are written.
        written: by path, the text to write for a value that came from the environment or a file, and for one that
            would be read as a reference.
        problems: what is wrong with what could be read nevertheless.
        unread: the paths where None stands in the place of what could not be read.
    """

    data: dict[str, Any]
    places: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    replaced: dict[At, list[tuple[Any, Place]]] = field(default_factory=dict)
    name: str = "config"
    raw: dict[str, Any] = field(default_factory=dict)
    written: dict[At, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    unread: frozenset[At] = frozenset()

    def with_problems(self, found: Iterable[Problem]) -> list[Problem]:
        """The problems of the text and those found in what it says, where that could be read; each told once."""
        unread = [dotted(at) for at in self.unread]
        follow = [
            problem for problem in found if not any(f"{problem.key}.".startswith(f"{key}.") for key in unread if key)
        ]
        return list(dict.fromkeys([*map(concealed, self.problems), *(self._discreet(problem) for problem in follow)]))

    def _discreet(self, problem: Problem) -> Problem:
        """The problem without what came from the environment."""
        texts = [text for at, text in self.written.items() if f"{problem.key}.".startswith(f"{dotted(at)}.")]
        names = {part.name for text in texts for part in parts_of(text) if isinstance(part, Variable | File)}
        problem = concealed(problem, names)
        is_value = problem.found not in ("", problem.key.rpartition(".")[2]) and HIDDEN not in problem.found
        return replace(problem, found=conceal(texts[0])) if names and is_value else problem

    def place(self, at: At, *, key: bool = False) -> Place:
        """The place of a value (or of its key), or of the nearest thing around it that has one."""
        while at:
            found = (self.keys.get(at) if key else None) or self.places.get(at)
            if found:
                return found
            at = at[:-1]
        return self.places.get((), Place(self.name))


def load(config: Path | str | Mapping[str, Any], overrides: Sequence[str] = ()) -> Source:
    """Read a JSON or YAML file (or take a mapping), what it extends, and the settings `a.b.0.c=value`.

    What is wrong, and yet leaves the rest to be checked, is in the `problems` of the result.

    Raises:
        ConfigError: with every problem found, where a file is missing or could not be read to its end.
    """
    loader = _Loader()
    if isinstance(config, Mapping):
        name = "config"
        loader.roots = (project_root(),)
        loader.lay(plain(config, Place(name)), Path.cwd(), [Path(name)])
    else:
        name = str(config)
        loader.lay_file(Path(config), [])
    for setting in _settings(overrides, loader.problems):
        try:
            loader.layers.lay(setting)
        except ConfigError as error:
            loader.problems += error.problems
    if not loader.is_whole:
        raise ConfigError([concealed(problem) for problem in dict.fromkeys(loader.problems)])
    layers = loader.layers
    made = resolve(layers.data, layers.values, layers.keys)
    problems = tuple(concealed(problem) for problem in dict.fromkeys([*loader.problems, *made.problems]))
    if not isinstance(made.data, dict):
        raise ConfigError(problems)
    unread = frozenset(loader.unread | made.unread)
    return Source(made.data, made.places, made.keys, layers.replaced, name, layers.data, made.written, problems, unread)


@dataclass
class _Loader:
    layers: Layers = field(default_factory=Layers)
    problems: list[Problem] = field(default_factory=list)
    unread: set[At] = field(default_factory=set)
    roots: tuple[Path, ...] = ()
    files: int = 0
    is_whole: bool = True

    def lay_file(self, path: Path, chain: list[Path], named: Place | None = None) -> None:
        """Lay a file; `chain`: the files that lead to it, `named`: where the last of them names it."""
        self.files += 1
        try:
            resolved = path.resolve()
            path.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a loop of links, characters that no name can have
            found = str(path)[:60]
            self.problems.append(Problem("no file can have this name", named or Place("config"), "extends", found))
            self.is_whole = False
            return
        if not chain:
            self.roots = tuple(dict.fromkeys((project_root(), project_root(resolved.parent))))
        refused = self.refused(path, resolved, chain, named)
        if refused:
            self.problems.append(refused)
            self.is_whole = False
            return
        try:
            document = _PARSERS[path.suffix.lower()](read_text(path), str(path))
        except ConfigError as error:
            # What is wrong with the file as a whole stands where it is named.
            self.problems += [
                replace(problem, place=named, key="extends", found=problem.found or str(path))
                if named and problem.place and not problem.place.line
                else problem
                for problem in error.problems
            ]
            self.is_whole = False
            return
        self.lay(document, path.parent, [*chain, resolved])

    def refused(self, path: Path, resolved: Path, chain: list[Path], named: Place | None) -> Problem | None:
        """Why a file is not even opened."""
        if self.files > _MAX_FILES:
            return Problem("too many files are extended", named, "extends", f"more than {_MAX_FILES}")
        if resolved in chain:
            names = " -> ".join(str(file) for file in [*chain[chain.index(resolved) :], resolved])
            return Problem("configurations extend each other in a circle", named, "extends", names)
        if chain and not any(resolved.is_relative_to(root) for root in self.roots):
            places = " or ".join(map(str, self.roots))
            hint = "copy it into the project"
            return Problem(
                "the file to extend is outside of the project", named, "extends", str(path), f"under {places}", hint
            )
        if path.is_dir():
            key, found = "extends" if chain else "", str(path)
            return Problem("this is a folder", named or Place(str(path)), key, found, "a .json, .yaml or .yml file")
        if path.suffix.lower() not in _PARSERS:
            key, found = "extends" if chain else "", path.suffix or "a name without an ending"
            return Problem(
                "this is no configuration file", named or Place(str(path)), key, found, ".json, .yaml or .yml"
            )
        return None

    def lay(self, document: Document, folder: Path, chain: list[Path]) -> None:
        """Lay what the document extends, then the document."""
        self.problems += document.problems
        self.is_whole = self.is_whole and document.is_whole
        if not isinstance(document.data, dict):
            self.is_whole = False
            if not document.problems:
                place, found = document.values.get(()), show(document.data)
                self.problems.append(Problem("a configuration is an object", place, "", found, "{ … }"))
            return
        self.unread |= document.unread
        document.data.pop("$schema", None)
        bases = document.data.pop("extends", [])
        place = document.values.get(("extends",))
        if any(at[0] == "extends" for at in document.unread):
            self.is_whole = False  # it could not be read, as is told already
            return
        listed = [bases] if isinstance(bases, str) else bases
        if not (isinstance(listed, list) and all(isinstance(base, str) for base in listed)):
            expected = "a path, or a list of paths"
            self.problems.append(Problem("`extends` names files", place, "extends", show(bases), expected))
            self.is_whole = False
            return
        for index, base in enumerate(listed):
            if self.files <= _MAX_FILES:
                named = document.values.get(("extends", index), place)
                if "${" in base:
                    hint = "write the path as it is"
                    self.problems.append(Problem("`extends` takes no references", named, "extends", base, "", hint))
                    self.is_whole = False
                else:
                    self.lay_file(folder / base, chain, named)
        self.layers.lay(document)


def _settings(overrides: Sequence[str], problems: list[Problem]) -> list[Document]:
    """The settings, outer keys first: `model=MLP` before `model.args.width=2`, in any order."""
    settings: list[tuple[int, Document]] = []
    for override in overrides:
        place = Place(f"--set {override}")
        name, equals, text = override.partition("=")
        parts = path_of(name.strip())
        if not equals or not parts or len(parts) > MAX_DEPTH:
            found = without_assignments(override)
            problems.append(Problem("this setting cannot be read", place, "", found, "--set section.key=value"))
            continue
        if parts[0] == "extends":
            hint = "write it in the file"
            problems.append(Problem("`extends` cannot be set", place, "extends", override, "", hint))
            continue
        parsed = parse_json(text, place.file)
        if not parsed.problems:
            value = parsed.data
        elif text.lstrip()[:1] in ("{", "[") or "number is too" in parsed.problems[0].message:
            problems += [
                Problem(
                    problem.message,
                    place,
                    dotted(parts),
                    problem.found,
                    problem.expected,
                    problem.hint,
                )
                for problem in parsed.problems
            ]
            continue
        else:
            value = text
        settings.append((len(parts), assignment(parts, value, place)))
    return [document for _, document in sorted(settings, key=lambda setting: setting[0])]
