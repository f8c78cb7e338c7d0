from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.cli import main
from assay.cli.messages import told
from assay.errors import ConfigError, Problem
from assay.utils import secrets


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines that a command which ends with 2 writes to its error output."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main(list(arguments))
    assert exit.value.code == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "first", "word"),
    [
        (["trian"], "error: there is no command 'trian'", "did you mean train?"),
        (["xyzzy"], "error: there is no command 'xyzzy'", "assay --help"),
        (["train", "--confg=x"], "error: 'assay train' has no option --confg", "did you mean --config?"),
        (["train", "--zzz"], "error: 'assay train' has no option --zzz", "assay train --help"),
        (["train", "--config"], "error: option '--config' requires an argument", "--help"),
        (["train", "one.json", "more"], "error: got unexpected extra argument(s) (more)", "assay train --help"),
        (["show"], "error: missing argument 'RUN'", "assay show --help"),
        (["--zzz"], "error: 'assay' has no option --zzz", "assay --help"),
        (["train", "-c", "gone.json"], "error: there is no such configuration file", "gone.json"),
        (["train", "-c", "."], "error: this is a folder", ".yaml"),
        (["show", "gone"], "error: no run is named 'gone'", "assay runs"),
    ],
)
def test_a_wrong_command_line_is_told_like_every_mistake(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], first: str, word: str
) -> None:
    lines = failing(capsys, *arguments)
    assert lines[0] == first
    assert word in "\n".join(lines[1:])


def test_many_mistakes_are_counted_and_cut_unless_all_are_asked_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {f"wrong{n:02}": n for n in range(30)}
    Path("a.json").write_text(json.dumps(config, indent=1))
    lines = failing(capsys, "train", "-c", "a.json")
    assert lines[0] == "error: 34 mistakes"
    assert lines[-1] == "14 more (--all)"
    everything = failing(capsys, "train", "--all", "-c", "a.json")
    assert sum("  where:" in line for line in everything) == 34


def test_no_message_shows_what_the_environment_holds(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "mylab.sesame:Net")
    monkeypatch.setenv("RATE", "-3")
    Path("a.json").write_text(
        '{"data": {"dataset": "Digits"}, "model": "${env:MODEL}", "loss": "CrossEntropyLoss", "seed": "${env:RATE}",'
        '\n"optimizer": {"type": "SGD", "args": {"lr": "${env:MODEL}"}}, "host": {"device": "${env:MODEL}"}}'
    )
    for more in ([], ["--debug"], ["--all"]):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["train", "-c", "a.json", *more])
        text = capsys.readouterr().err
        assert "${env:MODEL}" in text
        assert "sesame" not in text
        assert "found:    -3" not in text
    secrets.forget()


def test_mistakes_that_come_up_later_do_not_show_it_either() -> None:
    secrets.remember("TOKEN", "open sesame")
    error = ConfigError.of(Problem("no entry with 'open sesame'"))
    assert told(error) == told(error, everything=True) == "no entry with '${env:TOKEN}'"
    secrets.forget()


def test_a_traceback_does_not_show_it_either(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICTURES", str(project / "sesame" / "pictures"))
    dataset = {"type": "ImageFolder", "args": {"root": "${env:PICTURES}"}}
    config = {"data": {"dataset": dataset}, "model": "MLP", "loss": "CrossEntropyLoss", "optimizer": "SGD"}
    Path("a.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit) as exit:
        main(["train", "-c", "a.json", "--debug"])
    text = capsys.readouterr().err
    assert exit.value.code == 3
    assert "Traceback" in text
    assert "${env:PICTURES}" in text
    assert "sesame" not in text
    secrets.forget()
