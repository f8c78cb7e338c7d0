"""What is printed while a run goes on, in output.log as well as where it was printed."""

from __future__ import annotations

import copy
import io
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rich
from rich.console import Console
from rich.progress import Progress

import assay
from assay.errors import AssayError
from assay.experiment.output import Output
from assay.trainer.display import Display
from assay.trainer.state import Progress as Position
from assay.utils import secrets

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    made = Output(tmp_path / "output.log", Console(quiet=True))
    yield made
    made.close()
    secrets.forget()


def kept(output: Output) -> list[str]:
    return output.path.read_text().splitlines()


def test_what_goes_to_both_streams_is_kept_in_its_order_and_shown(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    print("before")
    output.take()
    print("one", 1)
    print("two", file=sys.stderr)
    sys.stdout.writelines(["three\nfo", "ur\n"])
    output.line("five")
    print("é\ttab")
    output.give_back()
    print("after")
    assert kept(output) == ["one 1", "two", "three", "four", "five", "é\ttab"]
    shown = capsys.readouterr()
    assert shown.out == "before\none 1\nthree\nfour\né\ttab\nafter\n"
    assert shown.err == "two\n"


def test_what_loggers_write_that_were_set_up_before_is_kept(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("of.a.user")
    logger.addHandler(handler)
    stream = handler.stream
    output.take()
    logger.warning("logged")
    output.give_back()
    logger.removeHandler(handler)
    assert kept(output) == ["logged"]
    assert handler.stream is stream
    assert capsys.readouterr().err.endswith("logged\n")


def test_a_bar_of_somebody_elses_is_kept_as_it_was_last_and_control_codes_are_not(output: Output) -> None:
    output.take()
    for step in range(3):
        sys.stderr.write(f"\r{step}/3")
    sys.stderr.write("\r3/3\n")
    print("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\r")
    sys.stdout.write("crlf\r")
    sys.stdout.write("\n")
    sys.stdout.write("no end")
    output.give_back()
    assert kept(output) == ["3/3", "red link", "crlf", "no end"]


def test_a_line_without_an_end_is_not_kept_back_for_ever(output: Output) -> None:
    output.take()
    sys.stdout.write("x" * 100_000)
    assert output.path.stat().st_size > 90_000


def test_passwords_are_not_in_it(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    secrets.remember("TOKEN", "correct-horse")
    output.take()
    print("token correct", end="-")
    print("horse at http://me:hunter2@db")
    output.line("correct-horse")
    output.give_back()
    assert kept(output) == ["token ${env:TOKEN} at http://me:***@db", "${env:TOKEN}"]


def test_the_streams_do_all_else_that_they_did(output: Output) -> None:
    before = sys.stdout
    output.take()
    assert sys.stdout.encoding == before.encoding
    assert sys.stdout.isatty() == before.isatty()
    assert not hasattr(copy.copy(sys.stdout), "nothing")
    with pytest.raises(TypeError):
        sys.stdout.write(b"bytes")  # type: ignore[arg-type]
    output.give_back()
    assert sys.stdout is before


def test_who_stands_before_the_streams_afterwards_is_left_there(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.take()
    held, own = sys.stdout, io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    output.give_back()
    assert sys.stdout is own
    print("late", file=held)
    assert kept(output) == []


def test_a_full_disk_is_told_once_and_nothing_else_happens(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Path("/dev/full"), Console())
    output.take()
    for number in range(3):
        print(number)
    output.close()
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line.isdigit()] == ["0", "1", "2"]
    assert len([line for line in out if "No space left" in line]) == 1


def test_a_forked_process_writes_its_own_lines_and_not_the_begun_one_of_its_parent(output: Output) -> None:
    output.take()
    sys.stdout.write("begun")
    child = multiprocessing.get_context("fork").Process(target=print, args=("of the child",))
    child.start()
    child.join()
    print(" and ended")
    assert kept(output) == ["of the child", "begun and ended"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_progress_bar_is_not_kept_and_other_consoles_of_rich_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal() if is_terminal else io.StringIO())
    monkeypatch.setattr(rich, "_console", None)
    monkeypatch.setenv("TERM", "xterm")
    stream, console = sys.stdout, Console(width=100)
    output = Output(tmp_path / "output.log", console)
    display = Display(console, 4, keep=output.line)
    display.start(Position())
    output.take()
    display.measured(0, 2, {"train/loss": 0.5}, 1.0, improved=False)
    print("by hand")
    rich.print("[bold]by rich[/bold]")
    display.step(Position(step=3, samples=9))
    with Progress(console=Console(file=io.StringIO())):
        print("inside another bar")
    output.give_back()
    display.close()
    print("after")
    assert sys.stdout is stream
    lines = ["epoch   0  step      2  train: loss 0.5  (1.0 s)", "by hand", "by rich", "inside another bar"]
    assert kept(output) == lines
    shown = stream.getvalue()
    assert all(shown.count(line) == 1 for line in lines[:2])
    assert "after" in shown
    assert ("samples/s" in shown) == is_terminal
    output.close()


CODE = """
import sys

import torch
from torch import nn

from assay.data.datasets.digits import Digits


class Talking(nn.Module):
    def __init__(self, num_classes: int, input_shape: tuple[int, ...], fail_at: int = 0):
        super().__init__()
        self.layer, self.calls, self.fail_at = nn.Linear(64, num_classes), 0, fail_at

    def forward(self, x):
        self.calls += self.training and x.device.type == "cpu" and type(x) is torch.Tensor
        if self.training and self.calls == 3:
            print("called three times", file=sys.stderr)
        if self.fail_at and self.calls == self.fail_at:
            raise ZeroDivisionError("of the model")
        return self.layer(x.flatten(1))


class Loud(Digits):
    def __getitem__(self, index):
        if index == 7:
            print("sample seven")
        return super().__getitem__(index)

    __getitems__ = None
"""


@pytest.fixture
def talking(project: Path) -> dict[str, Any]:
    (project / "mine.py").write_text(CODE)
    return {"model": {"type": "mine:Talking"}, "trainer.args.epochs": 1, "logging.system": None}


def test_a_training_keeps_its_own_lines_and_those_of_the_users_code(tiny: Tiny, talking: dict[str, Any]) -> None:
    loader = {"type": "BatchLoader", "args": {"batch_size": 128, "workers": 1}}
    changes = talking | {"data.dataset": "mine:Loud", "data.loader": loader}
    before = sys.stdout, sys.stderr
    run = assay.train(tiny(changes), quiet=True)
    assert (sys.stdout, sys.stderr) == before
    lines = (run.path / "output.log").read_text().splitlines()
    assert lines[0] == f"run {run.path}"
    assert "called three times" in lines
    assert "sample seven" in lines
    assert any(line.startswith("epoch   0  step ") for line in lines)


def test_a_failure_is_in_it_with_its_traceback_and_a_resume_adds_to_it(
    project: Path, tiny: Tiny, talking: dict[str, Any]
) -> None:
    config = tiny(talking | {"trainer.args.epochs": 3, "model.args": {"fail_at": 20}})
    with pytest.raises(AssayError):
        assay.train(config, quiet=True)
    (run,) = (project / "saved" / "tests").iterdir()
    text = (run / "output.log").read_text()
    assert "Traceback (most recent call last)" in text
    assert "failed: the run stopped in layer" in text
    assert "ZeroDivisionError: of the model" in text
    with pytest.raises(AssayError):
        assay.train(resume=run, quiet=True)
    again = (run / "output.log").read_text()
    assert again.startswith(text)
    assert f"{run.name} at step" in again
