from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from assay.config.source_nodes import free_names, handed_on, members
from assay.config.source_text import Imported, Text, text_of

TEXT = """
import os.path
import numpy as np
from . import sibling
from ..outer import Thing as Other
from .all import *
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from nowhere import Hidden
if os.name == "posix":
    first = 1
else:
    first = 2
try:
    from there_is_no_such_package import Fast
except ImportError:
    Fast = None
try:
    import json as codec
except ImportError:
    codec = None
__all__ = ["first"] + sibling_all
from .sibling import __all__ as sibling_all
"""


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Text:
    name = f"parsed_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name / "inner"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("raise SystemExit\n")
    (folder / "__init__.py").write_text("")
    (folder / "sibling.py").write_text("__all__ = ['second']\n")
    (folder / "module.py").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = text_of(f"{name}.inner.module")
    assert found is not None
    assert not any(module.startswith(name) for module in sys.modules)
    return found


def test_imports_lead_to_modules_and_names_relative_ones_too(text: Text) -> None:
    top = text.name.partition(".")[0]
    assert text.bindings["os"] == Imported("os")
    assert text.bindings["np"] == Imported("numpy")
    assert text.bindings["sibling"] == Imported(f"{top}.inner", "sibling")
    assert text.bindings["Other"] == Imported(f"{top}.outer", "Thing")
    assert text.stars == (f"{top}.inner.all",)


def test_of_alternatives_the_one_counts_that_would_run(text: Text) -> None:
    first, fast = text.bindings["first"], text.bindings["Fast"]
    assert isinstance(first, ast.Constant)
    assert first.value == 1
    assert isinstance(fast, ast.Constant)
    assert text.bindings["codec"] == Imported("json")


def test_names_for_type_checkers_are_kept_apart(text: Text) -> None:
    assert "Hidden" not in text.bindings
    assert text.for_checkers == {"Hidden"}


def test_the_public_names_are_those_of_all_the_lists_that_are_added_up(text: Text) -> None:
    assert [name for name in ("first", "second", "Fast") if text.public(name)] == ["first", "second"]


def test_what_is_no_python_text_has_none(text: Text) -> None:
    assert text_of("math") is None
    assert text_of(f"{text.name}.deeper") is None
    assert text_of("there_is_no_such_package.module") is None


def test_the_members_of_a_class_are_found_in_its_branches_and_overloads_are_left_out() -> None:
    (node,) = ast.parse(
        "class A:\n"
        "    size = 1\n"
        "    @overload\n"
        "    def __init__(self, a: int): ...\n"
        "    if fast:\n"
        "        def run(self): ...\n"
        "    def __init__(self, b): ...\n"
    ).body
    assert isinstance(node, ast.ClassDef)
    found = dict(members(node.body))
    assert list(found) == ["size", "run", "__init__"]
    assert "b" in ast.unparse(found["__init__"])


def test_the_names_that_a_function_needs_are_those_it_does_not_bind_itself() -> None:
    (node,) = ast.parse("def f(x, **rest):\n    y = Net(x)\n    return make(**rest), x.of(**rest), y(**rest)\n").body
    assert isinstance(node, ast.FunctionDef)
    assert {name.id for name in free_names(node)} == {"Net", "make"}
    assert [name.id for name in handed_on(node)] == ["make"]
