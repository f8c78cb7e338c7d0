"""A training whose weights are in rows over several processes, against the same training in one."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from ranks import largest_difference, last_weights, result_of, run_ranks
from sharded import SOURCE, assert_same_tensors, config, everything, resumed, trained, verify

import assay
from assay.errors import AssayError, ConfigError, Interrupted, NonFiniteError

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "sharded_parts", raising=False)
    (project / "sharded_parts.py").write_text(SOURCE)
    return project


CASES: dict[str, dict[str, Any]] = {
    "BatchNorm, averaged, clipped, scheduled": {
        "trainer.args": {"epochs": 1, "max_steps": 20, "clip": 0.5, "ema": 0.9},
        "schedulers": [{"type": "CosineAnnealingLR", "args": {"T_max": 20}, "unit": "batch"}],
    },
    "micro-batches, tied weights, what nobody uses": {
        "model": {"type": "sharded_parts:Net", "args": {"norm": False, "tied": True, "unused": True}},
        "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
        "trainer.args": {"epochs": 1, "max_steps": 20, "accumulate": 3},
    },
    "float32": {
        "host.precision": "float32",
        "model": {"type": "sharded_parts:Net", "args": {"norm": False}},
        "optimizer": {"type": "SGD", "args": {"lr": 0.05, "momentum": 0.9}},
    },
    "class weights and ignored targets": {
        "loss": {"type": "CrossEntropyLoss", "args": {"weight": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1.0], "ignore_index": 3}},
        "trainer.args": {"epochs": 1, "max_steps": 20, "accumulate": 2},
    },
    "two optimizers": {"trainer": {"type": "sharded_parts:TwoOptimizers", "args": {"epochs": 1, "max_steps": 20}}},
    "an update that calls ours": {
        "trainer": {"type": "sharded_parts:Counting", "args": {"epochs": 1, "max_steps": 20}},
    },
    "a copy of the model": {
        "model": {"type": "sharded_parts:Net", "args": {"norm": False}},
        "trainer": {"type": "sharded_parts:Teacher", "args": {"epochs": 1, "max_steps": 20}},
    },
    "the last batch is smaller than the world": {
        "data.split": {"validation": 231},
        "data.loader.args": {"batch_size": 401},
        "trainer.args": {"epochs": 4},
    },
}


SHORT = ("BatchNorm, averaged, clipped, scheduled", "micro-batches, tied weights, what nobody uses", "two optimizers")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SHORT else pytest.mark.nightly) for name in CASES]
)
def test_processes_that_share_the_weights_end_where_one_does(mine: Path, tiny: Tiny, name: str) -> None:
    one = trained(config(tiny, mine / "one", CASES[name]))
    several = result_of(run_ranks(2, trained, config(tiny, mine / "several", CASES[name])))
    bound = 1e-4 if "float32" in name else 1e-10
    assert largest_difference(last_weights(one), last_weights(several)) <= bound


EXACT: dict[str, Any] = {
    "model": {"type": "sharded_parts:Net", "args": {"drop": 0.2}},
    "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
    "trainer.args": {"epochs": 1, "max_steps": 20, "ema": 0.9, "accumulate": 2},
}


@pytest.mark.nightly
def test_four_processes_end_where_one_does_and_two_go_on_from_their_checkpoint(mine: Path, tiny: Tiny) -> None:
    settings = CASES["micro-batches, tied weights, what nobody uses"]
    one = trained(config(tiny, mine / "one", settings))
    part = {**settings, "trainer.args": {**settings["trainer.args"], "max_steps": 13}}
    four = result_of(run_ranks(4, trained, config(tiny, mine / "four", part)))
    assert (four / "checkpoints" / "last" / "model-3-of-4.pt").is_file()
    two = result_of(run_ranks(2, resumed, four, 17))
    again = result_of(run_ranks(4, resumed, two))
    assert largest_difference(last_weights(one), last_weights(again)) <= 1e-10


@pytest.mark.slow
def test_a_resume_goes_on_to_the_bit_with_as_many_processes_and_with_the_same_samples_with_others(
    mine: Path, tiny: Tiny
) -> None:
    part = {**EXACT, "trainer.args": {**EXACT["trainer.args"], "max_steps": 14}}
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole", EXACT)))
    first = result_of(run_ranks(2, trained, config(tiny, mine / "first", part)))
    runs = {name: mine / name for name in ("two", "one")}
    for path in runs.values():
        shutil.copytree(first, path, symlinks=True)
    two = result_of(run_ranks(2, resumed, runs["two"]))
    assert json.loads((two / "status.json").read_text())["resumed"][-1]["level"] == "B"
    assert {file.name for file in (two / "checkpoints" / "last").glob("*.pt")} == {
        f"{name}{part}.pt" for name in ("model", "ema", "training") for part in ("", "-0-of-2", "-1-of-2")
    }
    assert_same_tensors(everything(two), everything(whole))
    one = resumed(runs["one"])
    assert json.loads((one / "status.json").read_text())["resumed"][-1]["level"] == "A"
    assert not list((one / "checkpoints" / "last").glob("*-of-*"))
    # In one process dropout draws other numbers; what was restored is all there.
    assert everything(one).keys() == everything(whole).keys()


@pytest.mark.slow
def test_a_checkpoint_of_one_process_is_taken_up_by_several_and_one_of_several_by_one(mine: Path, tiny: Tiny) -> None:
    settings = {**EXACT, "model": {"type": "sharded_parts:Net", "args": {"norm": False}}}
    part = {**settings, "trainer.args": {**EXACT["trainer.args"], "max_steps": 14}}
    whole = trained(config(tiny, mine / "whole", settings))
    first = trained(config(tiny, mine / "first", part))
    two = result_of(run_ranks(2, resumed, first, 17))
    one = resumed(two)
    assert largest_difference(last_weights(whole), last_weights(one)) <= 1e-10
    held = everything(whole)
    for name, value in everything(one).items():
        if value.is_floating_point():
            assert torch.allclose(value, held[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.slow
def test_a_checkpoint_of_several_processes_is_read_in_one_and_a_damaged_part_is_named(mine: Path, tiny: Tiny) -> None:
    settings = {"trainer.args": {"epochs": 1, "max_steps": 6, "ema": 0.9}, "checkpoints": {"every": "3ba"}}
    run = result_of(run_ranks(2, trained, config(tiny, mine / "run", settings)))
    opened = assay.open(run)
    with torch.no_grad():
        assert opened.model("last")(torch.zeros(2, 1, 8, 8, dtype=torch.float64)).shape == (2, 10)
    assert verify(run) == []
    last = (run / "checkpoints" / "last").resolve()
    damaged = last / "training-1-of-2.pt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert any("training-1-of-2.pt has sha256" in fault for fault in verify(run))
    going_on = result_of(run_ranks(2, resumed, run, 8))
    faults = json.loads((going_on / "status.json").read_text())["resumed"][-1]["faults"]
    assert any(last.name in fault and "training-1-of-2.pt" in fault for fault in faults)


def errors(results: list[Any]) -> list[BaseException]:
    assert all(isinstance(result, BaseException) for result in results), results
    return results


@pytest.mark.parametrize(
    "what", [pytest.param("loss", marks=pytest.mark.nightly), pytest.param("gradient", marks=pytest.mark.slow)]
)
def test_what_is_not_finite_in_one_process_stops_all_before_the_update(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("ACT", f"{what} 4 1")
    settings = {
        "model": {"type": "sharded_parts:Net", "args": {"norm": False}},
        "trainer": {"type": "sharded_parts:Acting", "args": {"epochs": 1, "max_steps": 8}},
        "checkpoints": {"every": "2ba"},
        "logging": {"every": "1ba", "system": None},
    }
    found = errors(run_ranks(2, trained, config(tiny, mine / "run", settings)))
    assert all(isinstance(error, NonFiniteError) and "at step 4" in str(error) for error in found), found
    assert "rank 1 of 2" in str(found[0])
    assert "samples" in str(found[0])
    if what == "gradient":
        assert "head." in str(found[0])
    run = next((mine / "run" / "tests").iterdir())
    assert all(torch.isfinite(value).all() for value in last_weights(run).values())
    assert (run / "checkpoints" / "last").resolve().name == "step-00000004"


@pytest.mark.nightly
def test_a_signal_to_one_process_saves_in_all_and_a_resume_goes_on_to_the_bit(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**EXACT, "trainer": {"type": "sharded_parts:Acting", "args": EXACT["trainer.args"]}}
    settings.pop("trainer.args")
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole", settings)))
    monkeypatch.setenv("ACT", "SIGTERM 7 1")
    found = errors(run_ranks(2, trained, config(tiny, mine / "stopped", settings)))
    assert all(isinstance(error, Interrupted) for error in found), found
    monkeypatch.delenv("ACT")
    run = next((mine / "stopped" / "tests").iterdir())
    assert_same_tensors(everything(result_of(run_ranks(2, resumed, run))), everything(whole))


@pytest.mark.nightly
def test_a_process_that_is_killed_ends_all_and_a_resume_goes_on_to_the_bit(
    mine: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**EXACT, "trainer": {"type": "sharded_parts:Acting", "args": EXACT["trainer.args"]}}
    settings |= {"checkpoints": {"every": "3ba"}}
    settings.pop("trainer.args")
    whole = result_of(run_ranks(2, trained, config(tiny, mine / "whole", settings)))
    monkeypatch.setenv("ACT", "SIGKILL 7 1")
    results = run_ranks(2, trained, config(tiny, mine / "killed", settings))
    assert isinstance(results[0], AssayError)
    assert results[1] == -9
    monkeypatch.delenv("ACT")
    run = next((mine / "killed" / "tests").iterdir())
    assert (run / "checkpoints" / "last").resolve().name == "step-00000006"
    assert_same_tensors(everything(result_of(run_ranks(2, resumed, run))), everything(whole))


def trained_on_full_disk(config: dict[str, Any]) -> Path:
    """The second process finds no room for its rows of the checkpoint of step 3."""
    from assay.trainer.strategy import fsdp

    write = fsdp.write_file

    def refused(path: Path, held: Any) -> dict[str, Any]:
        if "-1-of-2" in path.name and "step-00000003" in path.parent.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, held)

    fsdp.write_file = refused
    return trained(config)


@pytest.mark.slow
def test_where_the_disk_refuses_one_process_there_is_no_checkpoint_and_it_is_told(mine: Path, tiny: Tiny) -> None:
    settings = {
        "trainer.args": {"epochs": 1, "max_steps": 5},
        "checkpoints": {"every": "1ba", "keep_last": 9},
        "logging": {"every": "1ep", "system": None, "histograms": True},
    }
    run = result_of(run_ranks(2, trained_on_full_disk, config(tiny, mine / "run", settings)))
    steps = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert steps == [f"step-0000000{step}" for step in (1, 2, 4, 5)]
    assert "No space left on device (rank 1 of 2)" in (run / "run.log").read_text()
    assert not list((run / "checkpoints").glob(".tmp-*"))
    assert verify(run) == []
    shown = json.loads(next((run / "media").glob("weights-*.json")).read_text())
    assert sum(shown["blocks.0.linear.weight"]["counts"]) == 13 * 13


@pytest.mark.nightly
def test_an_optimizer_that_looks_at_whole_matrices_is_refused_in_a_sentence(mine: Path, tiny: Tiny) -> None:
    settings = {"optimizer": {"type": "Adafactor", "args": {"lr": 0.01}}}
    found = errors(run_ranks(2, trained, config(tiny, mine / "run", settings)))
    assert all(isinstance(error, AssayError) and error.exit_code == 2 for error in found)
    assert "host.strategy: fsdp" in str(found[0])
    assert "AdamW" in str(found[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"host.compile": True}, "is not compiled"), ({"host.precision": "float16"}, "no loss scale")],
)
def test_what_rows_cannot_do_is_a_mistake(mine: Path, tiny: Tiny, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        assay.check(config(tiny, mine / "run", change))
    assert told.value.exit_code == 2


def test_a_torch_that_sums_no_unused_gradients_is_told_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.fsdp import FSDPModule

    from assay.trainer.strategy.fsdp import FullySharded

    monkeypatch.delattr(FSDPModule, "set_reduce_scatter_unused_params")
    strategy = object.__new__(FullySharded)
    with pytest.raises(ConfigError, match=r"fsdp needs torch 2\.13 or newer"):
        strategy.prepare(torch.nn.Linear(2, 2), torch.device("cpu"), sync_batchnorm=False)
