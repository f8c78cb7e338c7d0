from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from against_schema import refused
from assay.cli.messages import told
from assay.config.components import Allowed
from assay.errors import ConfigError, Moved
from assay.experiment.checking import examined

from .cases import CASES, Case

# What a user never wants to see: the inside of the program and of the libraries that it is made with.
_INSIDE = re.compile(r"Traceback|pydantic|ruamel|ValidationError|<class|NoneType|\bdict\b|object at 0x")


def failure(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigError:
    case.write(folder)
    for name, text in case.environment.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as caught:
        examined(case.main, case.settings, Allowed(folder)).checked()
    return caught.value


def in_order(place: str) -> tuple[bool, str, int, int]:
    file, *numbers = place.split(":") if not place.startswith("--set") else [place]
    line, column = numbers or (0, 0)
    return place.startswith("--set"), file, int(line), int(column)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_mistake_of_a_wrong_configuration_is_told(
    case: Case, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure(case, project, monkeypatch)
    expected = sorted(case.told, key=lambda one: (*in_order(one.place), one.key))
    found = [(str(problem.place), problem.key) for problem in error.problems]
    assert found == [(one.place, one.key) for one in expected], f"\n{error}"
    left = list(error.problems)
    for one in expected:
        # Several may stand at one place; any of them may be the one.
        at = [p for p in left if (str(p.place), p.key) == (one.place, one.key)]
        fits = [p for p in at if all(word in str(p) for word in one.words)]
        assert fits, f"{one.words} in\n" + "\n".join(map(str, at))
        left.remove(fits[0])
    assert error.exit_code == 2
    text = told(error)
    is_older = error.problems and isinstance(error.problems[0], Moved)  # which is written out as it is here
    assert not _INSIDE.search(text), text
    assert is_older or len(text.splitlines()) <= 5 * 6 + 17
    assert all(problem.message in told(error, everything=True) for problem in error.problems)


@pytest.mark.parametrize("case", [case for case in CASES if case.by_schema], ids=lambda case: case.id)
def test_the_schema_refuses_wrong_names_and_types_where_they_stand(case: Case) -> None:
    places = refused(json.loads(case.files[case.main]))
    for one in case.told:
        # A name that no alternative takes is refused with what lies around it.
        key = one.key.removesuffix(".type")
        assert any(_around(place, key) or _around(key, place) for place in places), (key, places)


@pytest.mark.parametrize("case", CASES[:: len(CASES) // 12], ids=lambda case: case.id)
def test_the_command_line_tells_the_same_and_exits_with_2(
    case: Case, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure(case, project, monkeypatch)
    settings = [word for setting in case.settings for word in ("--set", setting)]
    command = [sys.executable, "-c", "from assay.cli import main; main()", "train", "--config", case.main, *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {told(error)}\n"


def test_the_corpus_is_large_and_of_many_kinds() -> None:
    assert len({case.kind for case in CASES}) >= 64
    assert len({(case.family, tuple(case.files.values()), case.settings) for case in CASES}) >= 320
    assert len([case for case in CASES if len(case.told) > 1]) >= 40
    assert len({case.family for case in CASES}) >= 12


def _around(outer: str, inner: str) -> bool:
    return not outer or f"{inner}.".startswith(f"{outer}.")
