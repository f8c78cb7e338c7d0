from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assay.cli import main


def components(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        main(["components", *arguments])
    printed = capsys.readouterr()
    return int(exit.value.code or 0), printed.out, printed.err


def test_without_arguments_every_kind_has_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = components(capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][:3] == ["dataset", "loader", "transform"]
    assert len(out.splitlines()) == 10


def test_a_kind_lists_its_names_with_one_line_each(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = components(capsys, "schedulers")
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert code == 0
    assert out.startswith("DynamicLR")
    assert "decays the learning rate" in lines["StepLR"].lower()
    assert max(map(len, out.splitlines())) <= 120


def test_a_name_shows_its_arguments(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = components(capsys, "optimizer", "SGD")
    assert code == 0
    assert "momentum factor" in out
    assert "default false" in out
    assert "supplied by assay" in components(capsys, "model", "ResNet")[1]


def test_json_is_for_scripts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = json.loads(components(capsys, "loss", "CrossEntropyLoss", "--json")[1])
    arguments = {argument["name"]: argument for argument in described["arguments"]}
    assert arguments["label_smoothing"]["default"] == 0.0
    assert [kind["kind"] for kind in json.loads(components(capsys, "--json")[1])][-1] == "logger"
    assert {"name", "meaning"} == set(json.loads(components(capsys, "loader", "--json")[1])[0])


def test_a_wrong_word_exits_2_with_the_nearest_name_and_imports_no_torch(project: Path) -> None:
    code = "import sys; from assay.cli import main\ntry: main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    for words, near in (
        (["optimiser"], "'optimizer'"),
        (["optimizer", "Adm"], "'Adam'"),
        (["loss", "SGD"], "optimizer"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "components", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert near in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout.strip() == "False"
