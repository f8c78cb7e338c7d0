"""Workers that die, raise or hang, and components that raise: an error soon, and the resumed run is the whole one."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import tasks
from assay.errors import AssayError
from assay.store.run_folder import RunFolder
from killing import _memory, in_child, launched, outcome, train

OWN = ("checkpoints", "names")


class Faulty(tasks.Patches):
    """Reading sample 13 for the `after`-th time is a fault, in a worker or where there is none."""

    how: ClassVar[str] = ""
    after: ClassVar[int] = 2

    def __getitem__(self, index: int) -> Any:
        if Faulty.how and index == 13 and (parent_process() is not None or Faulty.how in ("raises", "memory")):
            Faulty.after -= 1
            if Faulty.after < 0:
                fault(Faulty.how)
        return super().__getitem__(index)


def fault(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "leaves":
        os._exit(5)
    if how == "hangs":
        time.sleep(3600)
    if how == "memory":
        raise MemoryError("no room for a picture")
    raise OSError("truncated picture")


class Net(tasks.Net):
    how: ClassVar[str] = ""
    calls: ClassVar[int] = 0

    def forward(self, images: Any) -> Any:
        Net.calls += 1
        if Net.calls > 20 and Net.how == "index":
            torch.zeros(3)[[7]]
        if Net.calls > 20 and Net.how == "leaves":
            sys.exit(9)
        if Net.calls > 20 and Net.how == "interrupts":
            raise KeyboardInterrupt
        return super().forward(images)


def config(workers: int) -> dict[str, Any]:
    made = tasks.config()
    made["data"]["loader"]["args"] = {"batch_size": 7, "workers": workers, "timeout": 2.5}
    return made


@dataclass(frozen=True)
class Wrong:
    """What goes wrong: in reading sample 13 for the `after`-th time, or in the model."""

    data: str = ""
    after: int = 0
    model: str = ""

    def training(self, base: Path, workers: int = 0, run: Path | None = None) -> None:
        Faulty.how, Faulty.after, Net.how = self.data, self.after, self.model
        train({} if run else config(workers), base, run, dataset=Faulty, model=Net)

    def failing(self, base: Path, workers: int) -> None:
        """Ends with the error's exit code, and says what it says."""
        try:
            self.training(base, workers)
        except AssayError as error:
            os.write(1, f"{error}\n".encode())
            os._exit(error.exit_code)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    with _memory() as base:
        assert in_child(partial(Wrong().training, base), base / "log") == 0, (base / "log").read_text()
        return {key: value for key, value in outcome(base).items() if key not in OWN}


def ended(wrong: Wrong, base: Path, workers: int) -> tuple[int, str]:
    """The exit code of a training in which something is wrong, and what it said."""
    return in_child(partial(wrong.failing, base, workers), base / "log"), (base / "log").read_text()


def goes_on(base: Path, whole: dict[str, Any]) -> None:
    run = launched(base)
    assert run is not None
    assert RunFolder(run).read_status()["state"] in ("failed", "interrupted")
    code = in_child(partial(Wrong().training, base, run=run), base / "log")
    assert code == 0, (base / "log").read_text()[-3000:]
    found = outcome(base)
    assert [key for key in whole if found[key] != whole[key]] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "workers", "code", "told"),
    [
        ("killed", 2, 3, "was killed (signal 9)"),
        ("segfault", 2, 3, "died of signal 11"),
        ("leaves", 2, 3, "ended with exit code 5"),
        ("hangs", 2, 3, "has not given a batch for"),
        ("raises", 2, 3, "truncated picture"),
        ("raises", 0, 3, "truncated picture"),
        ("memory", 2, 8, "out of memory in the loading of data"),
        ("memory", 0, 8, "out of memory in the loading of data"),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_what_goes_wrong_in_loading_is_told_with_the_samples_and_costs_no_more_than_the_steps_since_the_save(
    whole: dict[str, Any], how: str, workers: int, code: int, told: str, after: int
) -> None:
    with _memory() as base:
        found, said = ended(Wrong(how, after), base, workers)
        assert (found, told in said) == (code, True), said[-2000:]
        assert "Faulty" in said or code == 8
        goes_on(base, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [("index", 2), ("leaves", 2), ("interrupts", 130)])
def test_whatever_a_component_raises_the_run_has_a_final_status_and_goes_on(
    whole: dict[str, Any], how: str, code: int
) -> None:
    with _memory() as base:
        assert ended(Wrong(model=how), base, 0)[0] == code
        goes_on(base, whole)
