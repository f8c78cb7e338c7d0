"""Whatever stands in a file: it is a valid configuration, or a configuration error says what is wrong."""

from __future__ import annotations

import copy
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from assay.config.check import Checked
from assay.config.load import load
from assay.config.provenance import as_written
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS

from .fuzzing import IS_LONG, SEED, TOTAL, damaged, outcome

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs" / "runs").rglob("*.json"))
PARTS = 8
STRUCTURED = TOTAL // 6  # of all inputs; the others are damaged files

BASE: dict[str, Any] = json.loads((ROOT / "configs" / "runs" / "default.json").read_text())

structured = settings(
    max_examples=STRUCTURED // 4,
    deadline=None,
    database=None,
    derandomize=not IS_LONG,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

NAMES = sorted({name for kind in KINDS.values() for name in kind.table})
WORDS = st.sampled_from(
    [
        *NAMES,
        *(
            "os.system",
            "torch.hub:load",
            "mine:Net",
            "1ep",
            "5s",
            "0ba",
            "min validation/loss",
            "max test/accuracy",
            "",
        ),
        *("${seed}", "${model}", "${data.split}-x", "$${a}", "${env:NOWHERE:3}", "${env:NOWHERE}", "${a.b", "${name}"),
    ]
)
KEYS = st.sampled_from(["type", "args", "lr", "seed", "extends", "$schema", "0", "a.b", "${a}", ""]) | st.text(
    max_size=4
)
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
VALUES = st.recursive(
    PLAIN | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in items for path in paths(item, (*at, key)))]


PLACES = st.sampled_from(paths(BASE)[1:])
CHANGES = st.lists(st.tuples(PLACES, VALUES | st.just("delete"), KEYS | st.none()), min_size=1, max_size=4)


def changed(changes: list[tuple[tuple[Any, ...], Any, str | None]]) -> dict[str, Any]:
    """The default configuration with values replaced, deleted, or added beside those that are there."""
    made = copy.deepcopy(BASE)
    for at, value, beside in changes:
        place: Any = made
        for part in at[:-1]:
            place = place[part] if isinstance(place, dict) and part in place else None
        if not isinstance(place, dict):
            continue
        if value == "delete":
            place.pop(at[-1], None)
        else:
            place[at[-1] if beside is None else beside] = copy.deepcopy(value)
    return made


@seed(SEED)
@structured
@given(CHANGES)
def test_a_mapping_with_any_values_in_any_places(tmp_path_factory: pytest.TempPathFactory, changes: Any) -> None:
    outcome(changed(changes), (), empty(tmp_path_factory))


@seed(SEED)
@structured
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_down_is_read_again_as_json_and_as_yaml(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    folder = empty(tmp_path_factory)
    try:
        source = load(data)
    except ConfigError:
        return
    if source.problems:
        return
    written = as_written(source.data, source)
    # JSON is YAML, but for characters beyond the basic plane; the library writes some texts that it does not read.
    escaped = re.sub(r"[^\x20-\x7e]", lambda one: f"\\U{ord(one[0]):08x}", json.dumps(written, ensure_ascii=False))
    for name, text in (("a.json", json.dumps(written)), ("a.yaml", escaped)):
        (folder / name).write_text(text, encoding="utf-8")
        again = load(folder / name)
        assert again.problems == ()
        assert again.data == source.data


@seed(SEED)
@structured
@given(st.lists(st.tuples(PLACES, st.text(max_size=3) | KEYS, VALUES | st.text(max_size=6)), min_size=1, max_size=3))
def test_any_settings(tmp_path_factory: pytest.TempPathFactory, given: Any) -> None:
    overrides = []
    for at, more, value in given:
        path = ".".join(str(part) for part in at) + (f".{more}" if len(more) % 2 else more)
        overrides.append(f"{path}={value if isinstance(value, str) else json.dumps(value)}")
    outcome(BASE, overrides, empty(tmp_path_factory))


REFERENCES = st.lists(
    st.sampled_from(["${a}", "${b}", "${c.d}", "${c}", "${e.0}", "${env:X:1}", "$", "{", "}", "x", "$${a}", "${"]),
    max_size=3,
).map("".join)


@seed(SEED)
@structured
@given(
    st.fixed_dictionaries({"a": REFERENCES | PLAIN, "b": REFERENCES, "c": st.dictionaries(st.just("d"), REFERENCES)})
)
def test_any_references(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    source = load({**data, "e": [data["b"], data["a"]]})
    if not source.problems:
        assert load(as_written(source.data, source)).data == source.data
    else:
        assert source.unread


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files(tmp_path: Path, part: int) -> None:
    """Every file of `configs/runs`, as JSON and as YAML, with mistakes in its bytes."""
    texts = [(path.name, path.read_bytes()) for path in SHIPPED]
    texts += [(f"{path.stem}.yaml", as_yaml(json.loads(path.read_text())).encode()) for path in SHIPPED]
    valid = 0
    for index in range(part, TOTAL - STRUCTURED, PARTS):
        generator = random.Random(f"{SEED} {index}")
        name, content = texts[index % len(texts)]
        content = damaged(content, generator)
        (tmp_path / name).write_bytes(content)
        try:
            valid += isinstance(outcome(tmp_path / name, (), tmp_path), Checked)
        except Exception as error:
            raise AssertionError(f"ASSAY_FUZZ_SEED={SEED}, input {index}, {name}: {content!r}") from error
    assert valid > 0


def as_yaml(value: Any) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, stream)
    return stream.getvalue()


_folders: list[Path] = []


def empty(factory: pytest.TempPathFactory) -> Path:
    """A project without anything in it; one for all examples."""
    if not _folders:
        _folders.append(factory.mktemp("project"))
    return _folders[0]
