from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from assay.config.load import load
from assay.errors import ConfigError, Place, Problem


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def failing(config: Any, *overrides: str) -> list[Problem]:
    """The problems of a configuration that cannot be read whole, or of one that can nevertheless."""
    try:
        return list(load(config, overrides).problems)
    except ConfigError as error:
        return error.problems


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    one = load(write(tmp_path, "a.json", '{"a": {"b": [1, 0.5]}, "c": "x"}'))
    two = load(str(write(tmp_path, "a.yml", "a:\n  b: [1, 0.5]\nc: x\n")))
    assert one.data == two.data == {"a": {"b": [1, 0.5]}, "c": "x"}


def test_a_mapping_is_taken_with_json_types_only(tmp_path: Path) -> None:
    source = load({"a": (1, 2), "b": tmp_path, 3: None})
    assert source.data == {"a": [1, 2], "b": str(tmp_path), "3": None}
    assert source.places["a", 0] == Place("config")
    found = failing({"a": {1, 2}, "b": float("nan"), "c": {1.5: 2}, "d": object()})
    assert [problem.key for problem in found] == ["a", "b", "c", "d"]


def test_a_mapping_that_holds_itself_is_refused() -> None:
    knot: dict[str, Any] = {}
    knot["a"] = knot
    assert "nested too deeply" in failing(knot)[0].message


def test_the_given_mapping_is_not_changed() -> None:
    given = {"extends": [], "a": {"b": 1}}
    load(given, ["a.b=2"])
    assert given == {"extends": [], "a": {"b": 1}}


def test_schema_key_is_ignored(tmp_path: Path) -> None:
    assert load(write(tmp_path, "a.json", '{"$schema": "x.json", "a": 1}')).data == {"a": 1}


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "default.json", "{}")
    (problem,) = failing(tmp_path / "defualt.json")
    assert problem.hint == f"did you mean {tmp_path / 'default.json'}?"


def test_what_is_no_configuration_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("folder.json", "pipe.json", "a.toml", "a", "gone/a.json"):
        assert len(failing(tmp_path / name)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ("{}".encode("utf-16-le"), "not UTF-8"),
        (b"{" + b"x" * 90 + b"\0", "binary"),
        (b'{\n"a": "\xe9"}', "not UTF-8"),
        (b"", "empty"),
        (b" " * (2 << 20), "too large"),
        (b"[1]", "a configuration is an object"),
        (b"3", "a configuration is an object"),
    ],
)
def test_content_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    (problem,) = failing(tmp_path / "a.json")
    assert message in problem.message


def test_a_byte_that_is_not_utf8_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{\n"\xc3\xa9": "\xe9"}')
    (problem,) = failing(tmp_path / "a.json")
    assert problem.place == Place(str(tmp_path / "a.json"), 2, 7)
    assert problem.found == "byte 0xe9"


def test_extends_merges_mappings_replaces_lists_and_null_deletes(tmp_path: Path) -> None:
    write(tmp_path, "train.py", "")
    write(tmp_path, "base.json", '{"a": {"x": 1, "y": 2}, "l": [1, 2], "n": 3, "z": null}')
    path = write(tmp_path, "sub/a.json", '{"extends": "../base.json", "a": {"y": 3}, "l": [9], "n": null}')
    source = load(path)
    assert source.data == {"a": {"x": 1, "y": 3}, "l": [9], "z": None}
    assert source.places["a", "x"] == Place(str(tmp_path / "sub" / ".." / "base.json"), 1, 13)
    assert source.places["a", "y"] == Place(str(path), 1, 40)
    assert ("n",) not in source.places
    assert ("l", 1) not in source.places


def test_of_several_bases_the_later_wins_and_the_file_over_all(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "p: 1\nq: 1\nr: 1")
    write(tmp_path, "b.json", '{"q": 2, "r": 2}')
    source = load(write(tmp_path, "c.json", '{"extends": ["a.yaml", "b.json"], "r": 3}'))
    assert source.data == {"p": 1, "q": 2, "r": 3}
    assert [value for value, _ in source.replaced["r",]] == [1, 2]


def test_a_mapping_extends_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.json", '{"a": 1}')
    monkeypatch.chdir(tmp_path)
    assert load({"extends": "a.json", "b": 2}).data == {"a": 1, "b": 2}


def test_a_circle_is_reported_as_a_chain(tmp_path: Path) -> None:
    write(tmp_path, "a.json", '{"extends": "b.json"}')
    write(tmp_path, "b.json", '{"extends": "a.json"}')
    (problem,) = failing(tmp_path / "a.json")
    assert "circle" in problem.message
    assert problem.found.count("a.json") == 2
    assert problem.found.count("b.json") == 1


def test_files_that_multiply_are_stopped(tmp_path: Path) -> None:
    for n in range(30):
        write(tmp_path, f"{n}.json", f'{{"extends": ["{n + 1}.json", "{n + 1}.json"]}}')
    write(tmp_path, "30.json", '{"a": 1}')
    assert any("too many" in problem.message for problem in failing(tmp_path / "0.json"))


def test_a_wrong_extends_is_reported_with_its_place(tmp_path: Path) -> None:
    (problem,) = failing(write(tmp_path, "a.json", '{"extends": 3}'))
    assert problem.place == Place(str(tmp_path / "a.json"), 1, 13)
    (problem,) = failing(write(tmp_path, "b.json", '{"extends": "gone.json"}'))
    assert problem.place == Place(str(tmp_path / "b.json"), 1, 13)
    assert problem.found == str(tmp_path / "gone.json")


def test_a_file_outside_of_the_project_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "base.json", "{}")
    write(tmp_path, "project/train.py", "")
    write(tmp_path, "elsewhere/train.py", "")
    for base in ("../base.json", str(tmp_path / "base.json")):
        path = write(tmp_path, "project/a.json", f'{{"extends": ["{base}"]}}')
        (problem,) = failing(path)
        assert problem.message == "the file to extend is outside of the project"
        assert problem.place == Place(str(path), 1, 14)
        assert str(tmp_path / "project") in problem.expected
    (tmp_path / "project" / "link.json").symlink_to(tmp_path / "base.json")
    assert len(failing(write(tmp_path, "project/a.json", '{"extends": "link.json"}'))) == 1
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path, "elsewhere/b.json", '{"b": 1}')
    assert load(write(tmp_path, "project/a.json", '{"extends": "../elsewhere/b.json"}')).data == {"b": 1}


def test_extends_takes_no_references(tmp_path: Path) -> None:
    (problem,) = failing(write(tmp_path, "a.json", '{"extends": "${env:HOME}/b.json"}'))
    assert problem.message == "`extends` takes no references"


def test_what_can_be_read_past_leaves_the_rest_to_be_checked(tmp_path: Path) -> None:
    source = load(write(tmp_path, "a.json", '{"a": {"b": NaN, "c": 1},}'), ["a.d=2", "c"])
    assert source.data == {"a": {"b": None, "c": 1, "d": 2}}
    assert source.unread == {("a", "b")}
    assert len(source.problems) == 3
    follows, other = Problem("b is wrong", key="a.b.x"), Problem("c is wrong", key="a.c")
    assert source.with_problems([follows, other, other]) == [*source.problems, other]


def test_problems_of_all_files_come_together(tmp_path: Path) -> None:
    write(tmp_path, "base.json", '{"a": NaN}')
    found = failing(write(tmp_path, "a.json", '{"extends": "base.json", "b": 1,}'), "x")
    assert len(found) == 3


def test_another_type_replaces_the_whole_component(tmp_path: Path) -> None:
    write(tmp_path, "base.json", '{"o": {"type": "SGD", "args": {"lr": 1, "momentum": 2}}}')
    other = load(write(tmp_path, "a.json", '{"extends": "base.json", "o": {"type": "Adam", "args": {"lr": 3}}}'))
    assert other.data == {"o": {"type": "Adam", "args": {"lr": 3}}}
    same = load(write(tmp_path, "b.json", '{"extends": "base.json", "o": {"type": "SGD", "args": {"lr": 3}}}'))
    assert same.data == {"o": {"type": "SGD", "args": {"lr": 3, "momentum": 2}}}


def test_a_bare_name_is_a_component_when_merged(tmp_path: Path) -> None:
    write(tmp_path, "base.json", '{"o": "SGD", "m": {"type": "Net", "args": {"w": 1}}, "n": {"type": "Net"}}')
    path = write(tmp_path, "a.json", '{"extends": "base.json", "o": {"args": {"lr": 1}}, "m": "Net", "n": "Other"}')
    assert load(path).data == {
        "o": {"type": "SGD", "args": {"lr": 1}},
        "m": {"type": "Net", "args": {"w": 1}},
        "n": {"type": "Other"},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("true", True),
        ("word", "word"),
        ("10ep", "10ep"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("", ""),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("min validation/loss", "min validation/loss"),
    ],
)
def test_a_setting_is_json_or_else_a_string(text: str, value: Any) -> None:
    source = load({"x": {"y": "old"}}, [f"x.y={text}"])
    assert source.data == {"x": {"y": value}}


def test_settings_make_what_is_not_there_and_go_into_lists() -> None:
    source = load({"l": ["A", {"type": "B"}]}, ["a.b.c=1", "l.0.args.k=3", "l.1.args.k=4", "l.2=C"])
    assert source.data == {
        "a": {"b": {"c": 1}},
        "l": [{"type": "A", "args": {"k": 3}}, {"type": "B", "args": {"k": 4}}, "C"],
    }
    assert source.places["l", 1, "args", "k"] == Place("--set l.1.args.k=4")
    assert source.places["l", 1, "type"] == Place("config")
    assert source.replaced == {}


def test_digits_are_keys_of_a_mapping_and_indices_of_a_list() -> None:
    assert load({"v": {"0": 1}}, ["v.8=2"]).data == {"v": {"0": 1, "8": 2}}


def test_a_key_with_a_dot_stands_in_quotes() -> None:
    assert load({"v": {"a.b": 1}}, ['v."a.b"=2']).data == {"v": {"a.b": 2}}


def test_nothing_is_set_inside_a_reference() -> None:
    (problem,) = failing({"a": {"x": 1}, "b": "${a}"}, "b.x=2")
    assert problem.message == "nothing can be set inside b"


def test_a_setting_of_null_deletes() -> None:
    source = load({"a": {"b": 1, "c": 2}}, ["a.b=null"])
    assert source.data == {"a": {"c": 2}}
    assert source.replaced["a", "b"] == [(1, Place("config"))]


def test_setting_a_type_drops_the_old_arguments_whatever_the_order() -> None:
    config = {"o": {"type": "SGD", "args": {"lr": 1, "momentum": 0.9}}}
    assert load(config, ["o.args.lr=2", "o.type=Adam"]).data == {"o": {"type": "Adam", "args": {"lr": 2}}}
    assert load(config, ["o=Adam"]).data == {"o": {"type": "Adam"}}


def test_of_two_equal_settings_the_later_wins() -> None:
    source = load({}, ["a=1", "a=2"])
    assert source.data == {"a": 2}
    assert source.replaced["a",] == [(1, Place("--set a=1"))]


@pytest.mark.parametrize(
    "setting",
    [
        "a",
        "=1",
        "a..b=1",
        ".a=1",
        "l.5=1",
        "l.x=1",
        "l.-1=1",
        "n.b=1",
        "a=[1,",
        "l.0=null",
        "a=1e999",
        "extends=b",
        'a."b=1',
    ],
)
def test_settings_that_cannot_be_applied_are_problems(setting: str) -> None:
    (problem,) = failing({"l": [1, 2], "n": 3}, setting)
    assert problem.place == Place(f"--set {setting}")


def test_places_of_what_is_missing_are_those_around_it() -> None:
    source = load({"a": {"b": 1}}, ["a.b=2"])
    assert source.place(("a", "b")) == Place("--set a.b=2")
    assert source.place(("a", "x", "y")) == Place("config")


def test_the_nearest_file_is_a_configuration_and_near_in_more_than_its_ending(tmp_path: Path) -> None:
    for name in ("defaults.txt", "xyz.json", "default.yaml"):
        (tmp_path / name).write_text("{}")
    for given, hint in (("defualt.json", f"did you mean {tmp_path / 'default.yaml'}?"), ("nothing.json", "")):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / given)
        assert caught.value.problems[0].hint == hint


def test_what_is_missing_is_missing_in_the_file_and_not_in_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"seed": 1}')
    assert load(file, ["seed=2", "name=x"]).place(("data",)).file == str(file)
