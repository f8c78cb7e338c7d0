"""A configuration from its files and command-line settings, with the place of every key and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.config.document import MAX_DEPTH, At, Document, dotted, plain, read_text
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
    problems: list[Problem] = []
    layers = Layers()
    if isinstance(config, Mapping):
        name = "config"
        document = plain(config, Place(name))
        _lay_all(document, Path.cwd(), layers, problems, [])
    else:
        name = str(config)
        _lay_file(Path(config), layers, problems, [])
    for setting in _settings(overrides, problems):
        try:
            layers.lay(setting)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Source(layers.data, layers.values, layers.keys, layers.replaced, name)


def _lay_file(
    path: Path, layers: Layers, problems: list[Problem], chain: list[Path], named: Place | None = None
) -> None:
    resolved = path.resolve()
    if resolved in chain or len(chain) >= _MAX_FILES:
        names = " → ".join(
            str(file) for file in [*chain[chain.index(resolved) if resolved in chain else 0 :], resolved]
        )
        problems.append(Problem("configurations extend each other in a circle", named, "extends", names))
        return
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        found = path.suffix or "a name without an ending"
        problems.append(
            Problem(
                "this is no configuration file", named or Place(str(path)), "", found, ".json, .yaml or .yml"
            )
        )
        return
    try:
        document = parse(read_text(path), str(path))
    except ConfigError as error:
        for problem in error.problems:
            where = f"extended by {named}" if named else problem.hint
            problems.append(
                Problem(problem.message, problem.place, problem.key, problem.found, problem.expected, where)
            )
        return
    problems += document.problems
    _lay_all(document, path.parent, layers, problems, [*chain, resolved])


def _lay_all(
    document: Document, folder: Path, layers: Layers, problems: list[Problem], chain: list[Path]
) -> None:
    """Lay what the document extends, then the document."""
    if not isinstance(document.data, dict):
        if not document.problems:
            found = type(document.data).__name__
            problems.append(
                Problem("a configuration is an object", document.values.get(()), "", found, "{ … }")
            )
        return
    document.data.pop("$schema", None)
    bases = document.data.pop("extends", [])
    place = document.values.get(("extends",))
    listed = [bases] if isinstance(bases, str) else bases
    if not (isinstance(listed, list) and all(isinstance(base, str) for base in listed)):
        problems.append(
            Problem("`extends` names files", place, "extends", f"{bases!r:.60}", "a path, or a list of paths")
        )
        listed = []
    for base in listed:
        if len(problems) < _MAX_FILES:
            _lay_file(folder / base, layers, problems, chain, place)
    layers.lay(document)


def _settings(overrides: Sequence[str], problems: list[Problem]) -> list[Document]:
    """The settings, outer keys first: `model=MLP` before `model.args.width=2`, in any order."""
    settings: list[tuple[int, Document]] = []
    for override in overrides:
        place = Place(f"--set {override}")
        name, equals, text = override.partition("=")
        parts = name.strip().split(".")
        if not equals or not all(parts) or len(parts) > MAX_DEPTH:
            problems.append(
                Problem("this setting cannot be read", place, "", override, "--set section.key=value")
            )
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
