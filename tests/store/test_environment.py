from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.store.environment import environment, snapshot_code
from assay.utils import secrets


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one module that is imported, one that is not, and a change that is not committed."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "snapshot_used.py").write_text("VALUE = 1\n")
    (root / "snapshot_unused.py").write_text("VALUE = 2\n")
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "snapshot_used.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(root))
    __import__("snapshot_used")
    yield root
    del sys.modules["snapshot_used"]


def test_the_snapshot_holds_what_was_imported_and_the_uncommitted_diff(repository: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.json"
    config.write_text("{}")
    copied = snapshot_code(repository, tmp_path / "code", (config,))
    assert sorted(copied) == ["elsewhere/run.json", "snapshot_used.py", "uncommitted.diff"]
    assert (tmp_path / "code" / "snapshot_used.py").read_text() == "VALUE = 3\n"
    assert "+VALUE = 3" in (tmp_path / "code" / "uncommitted.diff").read_text()


def test_the_environment_names_the_commit_and_what_had_changed(repository: Path) -> None:
    facts = environment(repository)
    assert len(facts["git"]["commit"]) == 40
    assert facts["git"]["changed"] == [" M snapshot_used.py"]
    assert facts["packages"]["torch"]


def test_a_folder_without_git_has_no_git_facts(tmp_path: Path) -> None:
    assert environment(tmp_path)["git"] is None


def test_no_variable_of_the_environment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2-not-to-be-kept")
    assert "hunter2" not in str(environment(tmp_path))


def test_no_password_is_copied_and_what_has_none_is_copied_to_the_byte(repository: Path, tmp_path: Path) -> None:
    (repository / "snapshot_used.py").write_bytes(b"URL = 'mongodb://me:hunter2@db'\r\nPW = 'correct-horse' # \xff\n")
    (repository / "snapshot_unused.py").write_bytes(b"PW = 'correct-horse'\n")
    (repository / ".env").write_text("A=1\n")
    subprocess.run(["git", "add", "-AN"], cwd=repository, check=True)
    secrets.remember("PASSWORD", "correct-horse")
    snapshot_code(repository, tmp_path / "code")
    secrets.forget()
    copy = (tmp_path / "code" / "snapshot_used.py").read_bytes()
    assert copy == b"URL = 'mongodb://me:***@db'\r\nPW = '${env:PASSWORD}' # \xff\n"
    diff = (tmp_path / "code" / "uncommitted.diff").read_text(errors="replace")
    assert "snapshot_unused.py" in diff
    assert ".env" not in diff.replace("${env:", "")
    assert "hunter2" not in diff
    assert "correct-horse" not in diff


def test_the_command_line_is_kept_without_what_the_environment_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--set", "a=correct-horse", "--set", "b=http://me:hunter2@db"])
    secrets.remember("PASSWORD", "correct-horse")
    command = environment(tmp_path)["command"]
    secrets.forget()
    assert command == ["train.py", "--set", "a=${env:PASSWORD}", "--set", "b=http://me:***@db"]
