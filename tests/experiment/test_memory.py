"""Memory that runs out: exit 8, wherever it happens, and never another batch size in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from failing import CONFIG, Bad, Trainer, failed

import assay
from assay.errors import MemoryExhaustedError
from assay.utils.devices import is_out_of_memory

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def nothing_bad() -> Any:
    Bad.kind, Bad.step, Trainer.at = "", -1, -1
    yield
    Bad.kind = ""


@pytest.mark.parametrize(("kind", "part"), [("memory", "the forward pass"), ("backward memory", "the backward pass")])
def test_out_of_memory_says_in_what_how_much_and_how_the_same_update_needs_less(
    project: Path, tiny: Tiny, kind: str, part: str
) -> None:
    error, run = failed(tiny(CONFIG), kind, 6)
    assert isinstance(error, MemoryExhaustedError)
    assert error.exit_code == 8
    assert error.message.startswith(f"out of memory in {part}: ")
    assert error.found == "batches of 100 samples"
    assert "--set trainer.args.accumulate=2: the update stays that of 100 samples, in pieces of 50" in error.hint
    assert "the last checkpoint is step-00000004" in error.hint
    assert (run.path / "failed" / "step-00000006" / "batch.pt").is_file()
    assert run.config["data"]["loader"]["args"]["batch_size"] == 100
    Bad.kind = ""
    more = {**CONFIG, "trainer.args.accumulate": 2}
    resumed = assay.train(tiny(more), resume=run.path, allow_change=["trainer.args.accumulate"], quiet=True)
    assert resumed.status["state"] == "completed"


@pytest.mark.parametrize("workers", [0, 1])
def test_out_of_memory_in_the_loading_of_data(project: Path, tiny: Tiny, workers: int) -> None:
    error, _ = failed(tiny({**CONFIG, "data.loader.args.workers": workers}), "loading", 700)
    assert isinstance(error, MemoryExhaustedError)
    assert error.message.startswith("out of memory in the loading of data")
    assert "prefetch" in error.hint


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


LIMITED = """
import resource, sys, torch
from assay.cli import main
torch.zeros(64, 64) @ torch.zeros(64, 64)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (900 << 20), used + (900 << 20)))
main(["train", "-c", "config.json", "--no-preflight", "--set", "logging.system=null"])
"""


@pytest.mark.slow
def test_a_process_that_may_have_no_more_memory_ends_with_exit_8(project: Path, tiny: Tiny) -> None:
    source = "import torch\nfrom torch import nn\n\n\nclass Greedy(nn.Sequential):\n"
    source += "    def __init__(self, num_classes):\n"
    source += "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n        self.calls = 0\n\n"
    source += "    def forward(self, x):\n        self.calls += 1\n"
    source += "        held = torch.ones(1 << 30) if self.calls > 3 else None\n        return super().forward(x)\n"
    (project / "greedy_net.py").write_text(source)
    (project / "config.json").write_text(json.dumps(tiny({"model": "greedy_net:Greedy", "checkpoints.every": "1ba"})))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 8, done.stderr
    assert "out of memory in the forward pass" in done.stderr
    assert "accumulate=2" in done.stderr
    assert "Traceback" not in done.stderr
