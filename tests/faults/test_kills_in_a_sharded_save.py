"""One of two processes killed just before events of the file system that it makes in a save of rows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trainer" / "strategy"))
from file_events import count_to, die_at
from ranks import result_of, run_ranks
from sharded import SOURCE, assert_same_tensors, config, everything, resumed, trained, verify

import assay
from assay.utils.distributed import place

Tiny = Callable[..., dict[str, Any]]

SETTINGS: dict[str, Any] = {
    "model": {"type": "sharded_parts:Net", "args": {"drop": 0.2}},
    "optimizer": {"type": "AdamW", "args": {"lr": 0.01}},
    "trainer.args": {"epochs": 1, "max_steps": 4, "ema": 0.9},
    "checkpoints": {"every": "2ba"},
}


def trained_until(config: dict[str, Any], rank: int, arm: Callable[[Any], None], argument: Any, ended: Path) -> Path:
    """`arm` is called where the process of this rank begins its second save, which is the last of the run; what a file
    then holds is in `ended` as it is at the end of that save.
    """
    from assay.trainer.strategy import fsdp

    saves = 0

    class Armed(fsdp._SharedParts):
        def __init__(self, *of: Any) -> None:
            nonlocal saves
            super().__init__(*of)
            saves += 1
            if saves == 2 and place().rank == rank:
                arm(argument)

        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)
            self._end()

        def follow(self) -> None:
            super().follow()
            self._end()

        def _end(self) -> None:
            if saves == 2 and place().rank == rank and isinstance(argument, Path):
                ended.write_bytes(argument.read_bytes())

    fsdp._SharedParts = Armed  # type: ignore[misc]
    return trained(config)


@pytest.mark.nightly
@pytest.mark.parametrize("rank", [0, 1])
def test_a_kill_of_one_process_at_events_of_a_save_leaves_a_whole_checkpoint_and_an_exact_resume(
    project: Path, tiny: Tiny, memory: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    monkeypatch.delitem(sys.modules, "sharded_parts", raising=False)
    (project / "sharded_parts.py").write_text(SOURCE)
    counted, ended = memory / "events", memory / "ended"
    counting = config(tiny, memory / "whole", SETTINGS), rank, count_to, counted, ended
    expected = everything(result_of(run_ranks(2, trained_until, *counting)))
    events = ended.stat().st_size
    assert events > (60, 8)[rank], f"{events} events are too few to be all"
    found = []
    for number in range(0, events, events // 9):  # some ten seconds each on a busy machine
        base = memory / f"trial-{number}"
        results = run_ranks(2, trained_until, config(tiny, base, SETTINGS), rank, die_at, number, ended)
        assert results[rank] in (-9, 0) or isinstance(results[rank], Path), results
        run = next((base / "tests").iterdir())
        step = checked(run)
        found.append(step)
        if assay.open(run).status["state"] != "completed":
            result_of(run_ranks(2, resumed, run, 4))
        assert verify(run) == []
        assert not list((run / "checkpoints").glob(".*"))
        assert_same_tensors(everything(run), expected)
        shutil.rmtree(base)
    assert set(found) == {2, 4} if rank == 0 else 2 in found
    assert found == sorted(found)


def checked(run: Path) -> int:
    """The step of the newest checkpoint; there is one, and none that is damaged."""
    from assay.trainer.checkpoint import Checkpoints

    newest, faults = Checkpoints(run / "checkpoints").newest()
    assert newest is not None
    assert faults == []
    return newest.step
