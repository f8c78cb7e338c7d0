"""The cases of the corpus: each one a wrong configuration, and all that must be told of it.

A file in `corpus/` is a list of kinds, each with its cases. `§` stands in a text right before each place where
something is wrong, twice where two things are; it is no part of the text. The fields of a case:

json, yaml    entries of a configuration; they replace those of the same key in `BASE`
drop          entries of `BASE` that are left out
without       the same, where it must be told that they are missing
text, bytes   the whole of a file instead; `@` in it stands for `times`, a text and how often
name          of the file, default `run.json` or `run.yaml`
give          what is given as the configuration, where it is another one
files         other files by name; folders: their names
set, env      settings of the command line, variables of the environment
at            the place in words, for texts that cannot hold a `§`; `file` for the file as a whole
tell          of every mistake `key | words | words …`: the key that it stands at, and what must be said
schema        whether the JSON schema must refuse it; of a kind, or of a case
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

__all__ = ["CASES", "Case", "Told"]

FOLDER = Path(__file__).parent / "corpus"
BASE = {
    "data": {"json": '"data": {"dataset": "Digits"}', "yaml": "data: {dataset: Digits}"},
    "model": {"json": '"model": {"type": "MLP"}', "yaml": "model: {type: MLP}"},
    "loss": {"json": '"loss": "CrossEntropyLoss"', "yaml": "loss: CrossEntropyLoss"},
    "optimizer": {
        "json": '"optimizer": {"type": "SGD", "args": {"lr": 0.1}}',
        "yaml": "optimizer: {type: SGD, args: {lr: 0.1}}",
    },
}
_FIELDS = {
    *("json", "yaml", "drop", "without", "text", "bytes", "times", "name", "give", "files", "folders", "set", "env"),
    *("at", "tell", "schema"),
}
_MARK = "§"
_ENTRY = re.compile(rf'^{_MARK}*["\']?(\w+)["\']?\s*:', re.MULTILINE)


@dataclass(frozen=True)
class Told:
    """What must be told of one mistake: its place (`file:line:column`, `file` or `--set …`), its key, and words."""

    place: str
    key: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A wrong configuration: its files by name, of which `main` is the one that is given, and all its mistakes."""

    kind: str
    family: str
    id: str
    main: str
    files: Mapping[str, bytes]
    folders: tuple[str, ...]
    settings: tuple[str, ...]
    environment: Mapping[str, str]
    told: tuple[Told, ...]
    by_schema: bool

    def write(self, folder: Path) -> None:
        for name in self.folders:
            (folder / name).mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def _cases() -> Iterator[Case]:
    for file in sorted(FOLDER.glob("*.yaml")):
        for group in YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8")):
            for number, given in enumerate(group["cases"]):
                slug = f"{file.stem}-{group['kind']}-{number}".replace(" ", "_")
                common = (group["kind"], file.stem, group.get("schema", False))
                yield _case(given, f"{slug}", *common)
                if "json" in given and "name" not in given and group.get("both", True):
                    yield _case({**given, "name": "run.yaml"}, f"{slug}-yaml", *common)


def _case(given: Mapping[str, Any], id_: str, kind: str, family: str, by_schema: bool) -> Case:
    assert _FIELDS.issuperset(given), (id_, set(given) - _FIELDS)
    form = "yaml" if "yaml" in given else "json"
    main = given.get("name", f"run.{form}")
    texts = {name: str(text) for name, text in given.get("files", {}).items()}
    start = given.get("give", main)
    if "bytes" not in given:
        texts = {main: _whole(given, form), **texts}
    if "times" in given:
        texts[main] = texts[main].replace("@", given["times"][0] * given["times"][1])
    settings = given.get("set", [])
    places = [place for name, text in texts.items() for place in _places(name, text)]
    places += [f"--set {setting.removeprefix(_MARK)}" for setting in settings if setting.startswith(_MARK)]
    if "at" in given:
        places.insert(0, start if given["at"] == "file" else f"{start}:{given['at']}")
    listed = [given["tell"]] if isinstance(given["tell"], str) else given["tell"]
    parts = [[part.strip() for part in f" {line}".split(" | ")] for line in listed]
    assert len(parts) == len(places), (id_, places, parts)
    told = tuple(Told(place, key, tuple(words)) for place, (key, *words) in zip(places, parts, strict=True))
    files = {name: text.replace(_MARK, "").encode() for name, text in texts.items()}
    if "bytes" in given:
        files[main] = given["bytes"].encode("latin-1")
    plain = tuple(setting.removeprefix(_MARK) for setting in settings)
    schema = bool(given.get("schema", by_schema)) and main.endswith(".json")
    return Case(
        kind, family, id_, start, files, tuple(given.get("folders", ())), plain, given.get("env", {}), told, schema
    )


def _whole(given: Mapping[str, Any], form: str) -> str:
    if "text" in given:
        return str(given["text"])
    entries, missing = str(given[form]).rstrip("\n"), given.get("without", [])
    missing = [missing] if isinstance(missing, str) else missing
    left_out = {*_ENTRY.findall(entries), *missing, *given.get("drop", "").split()}
    kept = [entry[form] for key, entry in BASE.items() if key not in left_out]
    marks = _MARK * len(missing)
    if form == "yaml":
        return marks + "\n".join([*kept, entries]) + "\n"
    return marks + "{\n" + ",\n".join(filter(None, [*kept, entries])) + "\n}\n"


def _places(name: str, text: str) -> list[str]:
    """The places that are marked in a text, both counted from 1."""
    found, line, column = [], 1, 1
    for character in text:
        if character == _MARK:
            found.append(f"{name}:{line}:{column}")
        elif character == "\n":
            line, column = line + 1, 1
        else:
            column += 1
    return found


CASES = tuple(_cases())
