"""That each mutant can be made: the list would go out of date unseen, for it is not run with the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutant_list import MUTANTS, Mutant
from mutants import HOME


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_what_a_mutant_changes_is_in_the_code_once_and_its_tests_are_there(one: Mutant, tmp_path: Path) -> None:
    for edit in one.edits:
        copy = tmp_path / "src" / "assay" / edit.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((HOME / "src" / "assay" / edit.file).read_text(encoding="utf-8"), encoding="utf-8")
    before = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.py")}
    one.apply(tmp_path)
    for path, text in before.items():
        changed = path.read_text(encoding="utf-8")
        assert changed != text
        compile(changed, str(path), "exec")
    assert [name for name in one.tests if name.startswith("tests/") and not (HOME / name).exists()] == []


def test_there_is_a_mutant_for_each_of_twenty_promises() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= 20
