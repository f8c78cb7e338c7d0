"""A configuration from its files and command-line settings, with the place of every key and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.config.document import MAX_DEPTH, At, Document, dotted, plain, read_text
from assay.config.fitting import show
from assay.config.json_text import parse_json
from assay.config.merge import Layers, assignment
from assay.config.yaml_text import parse_yaml
from assay.errors import ConfigError, Place, Problem

__all__ = ["Source", "load"]

_PARSERS = {".json": parse_json, ".yaml": parse_yaml, ".yml": parse_yaml}
_MAX_FILES = 100


@dataclass(frozen=True)
class Source:
    """A configuration as written: nothing checked but its syntax.

    Args:
        data: the merged configuration.
        places: where each value stands, by path.
        keys: where each key of a mapping stands, by path.
        replaced: what stood at a path before (value and place, oldest first), by `extends` and settings.
        name: the file, or what else the configuration came from.
    """

    data: dict[str, Any]
    places: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    replaced: dict[At, list[tuple[Any, Place]]] = field(default_factory=dict)
    name: str = "config"

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

    Raises:
        ConfigError: a file is missing, or not JSON or YAML, or a setting cannot be applied.
    """
    loader = _Loader()
    if isinstance(config, Mapping):
        name = "config"
        document = plain(config, Place(name))
        loader.problems += document.problems
        loader.lay(document, Path.cwd(), [])
    else:
        name = str(config)
        loader.lay_file(Path(config), [])
    for setting in _settings(overrides, loader.problems):
        try:
            loader.layers.lay(setting)
        except ConfigError as error:
            loader.problems += error.problems
    if loader.problems:
        raise ConfigError(list(dict.fromkeys(loader.problems)))
    layers = loader.layers
    return Source(layers.data, layers.values, layers.keys, layers.replaced, name)


@dataclass
class _Loader:
    layers: Layers = field(default_factory=Layers)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0

    def lay_file(self, path: Path, chain: list[Path], named: Place | None = None) -> None:
        """Lay a file; `chain`: the files that lead to it, `named`: where the last of them names it."""
        self.files += 1
        resolved = path.resolve()
        parse = _PARSERS.get(path.suffix.lower())
        if self.files > _MAX_FILES:
            if self.files == _MAX_FILES + 1:
                found = f"more than {_MAX_FILES}"
                self.problems.append(Problem("too many files are extended", named, "extends", found))
        elif resolved in chain:
            names = " → ".join(str(file) for file in [*chain[chain.index(resolved) :], resolved])
            self.problems.append(Problem("configurations extend each other in a circle", named, "extends", names))
        elif parse is None:
            place, found = named or Place(str(path)), path.suffix or "a name without an ending"
            expected = ".json, .yaml or .yml"
            self.problems.append(Problem("this is no configuration file", place, "", found, expected))
        else:
            try:
                document = parse(read_text(path), str(path))
            except ConfigError as error:
                # What is wrong with the file as a whole stands where it is named.
                self.problems += [
                    replace(problem, place=named, key="extends", found=problem.found or str(path))
                    if named and problem.place and not problem.place.line
                    else problem
                    for problem in error.problems
                ]
                return
            self.problems += document.problems
            self.lay(document, path.parent, [*chain, resolved])

    def lay(self, document: Document, folder: Path, chain: list[Path]) -> None:
        """Lay what the document extends, then the document."""
        if not isinstance(document.data, dict):
            if not document.problems:
                place, found = document.values.get(()), show(document.data)
                self.problems.append(Problem("a configuration is an object", place, "", found, "{ … }"))
            return
        document.data.pop("$schema", None)
        bases = document.data.pop("extends", [])
        place = document.values.get(("extends",))
        listed = [bases] if isinstance(bases, str) else bases
        if not (isinstance(listed, list) and all(isinstance(base, str) for base in listed)):
            expected = "a path, or a list of paths"
            self.problems.append(Problem("`extends` names files", place, "extends", show(bases), expected))
            return
        for base in listed:
            if self.files <= _MAX_FILES:
                self.lay_file(folder / base, chain, place)
        self.layers.lay(document)


def _settings(overrides: Sequence[str], problems: list[Problem]) -> list[Document]:
    """The settings, outer keys first: `model=MLP` before `model.args.width=2`, in any order."""
    settings: list[tuple[int, Document]] = []
    for override in overrides:
        place = Place(f"--set {override}")
        name, equals, text = override.partition("=")
        parts = name.strip().split(".")
        if not equals or not all(parts) or len(parts) > MAX_DEPTH:
            problems.append(Problem("this setting cannot be read", place, "", override, "--set section.key=value"))
            continue
        parsed = parse_json(text, place.file)
        if not parsed.problems:
            value = parsed.data
        elif text.lstrip()[:1] in ("{", "["):
            problems += [
                Problem(
                    problem.message,
                    place,
                    dotted(tuple(parts)),
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
