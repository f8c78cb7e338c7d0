"""SIGKILL at named moments of the loop, at random times, and again and again during the resume: nothing differs.

What is compared is all of `killing.outcome`: weights, moving average, optimizer, schedulers, sums and generators of the
best and the last checkpoint, the journal but for `time`, the status, the media, the names of the checkpoints.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

import tasks
from assay.trainer import base
from killing import (
    PHASES,
    RESUMING,
    Clock,
    Kill,
    assert_exact,
    count_moments,
    launched,
    outcome,
)

# Of the 30 steps: the first, the middle and the last of an epoch, the first of the next, one in the middle of a later
# epoch where a validation and a save meet (21), the last of the run.
STEPS = (0, 2, 4, 5, 20, 29)
WORKERS = (0, 2)
ALL_WORKERS = (0, 1, 2, 4)
SGD = {"type": "SGD", "args": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}}
CONFIGS = {"AdamW": tasks.config(), "SGD": tasks.config(optimizer=SGD, validation={"every": "1ep"})}

Whole = tuple[Counter[str], dict[str, Any]]


@pytest.fixture(scope="module")
def whole() -> dict[str, Whole]:
    """Of each configuration: how often each phase is reached in the uninterrupted run, and what that leaves."""
    return {name: count_moments(config, allow=["tasks"]) for name, config in CONFIGS.items()}


def positions(phase: str, count: int) -> list[int]:
    """Six of the `count` times that a phase is reached."""
    if count in (30, 60):  # every step, or every micro-batch
        return [step * (count // 30) for step in STEPS[:-1]] + [count - 1]
    return sorted({round(part * (count - 1) / 5) for part in range(6)})


def kill_everywhere(phase: str, before: int, after: int, whole: dict[str, Whole]) -> None:
    counts, expected = whole["AdamW"]
    config = with_workers(CONFIGS["AdamW"], before)
    places = positions(phase, counts[phase])
    assert len(places) == 6
    for number in places:
        changes = [f"data.loader.args.workers={after}"]
        codes = assert_exact(config, [Kill(phase, number)], expected, changes, allow=["tasks"])
        assert codes[0] == -9, f"{phase} was not reached {number + 1} times"


def with_workers(config: dict[str, Any], workers: int) -> dict[str, Any]:
    args = {**config["data"]["loader"]["args"], "workers": workers}
    return {**config, "data": {**config["data"], "loader": {"args": args}}}


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), list(itertools.product(WORKERS, WORKERS)))
@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_at_any_phase_of_the_loop_changes_nothing(
    phase: str, before: int, after: int, whole: dict[str, Whole]
) -> None:
    kill_everywhere(phase, before, after, whole)


@pytest.mark.nightly
@pytest.mark.parametrize(("before", "after"), list(itertools.product(ALL_WORKERS, ALL_WORKERS)))
@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_at_any_phase_changes_nothing_for_any_number_of_workers(
    phase: str, before: int, after: int, whole: dict[str, Whole]
) -> None:
    kill_everywhere(phase, before, after, whole)


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_in_the_middle_of_a_run_changes_nothing(phase: str, whole: dict[str, Whole]) -> None:
    counts, expected = whole["AdamW"]
    codes = assert_exact(CONFIGS["AdamW"], [Kill(phase, counts[phase] // 2)], expected, allow=["tasks"])
    assert codes == [-9, 0]


def seconds_of(name: str) -> float:
    """How long an uninterrupted run takes here and now."""
    begin = time.monotonic()
    count_moments(CONFIGS[name], allow=["tasks"])
    return time.monotonic() - begin


def kill_at_random(seeds: range, whole: dict[str, Whole]) -> None:
    killed = 0
    length = seconds_of("AdamW")
    for seed in seeds:
        draw = random.Random(seed)
        name = draw.choice(list(CONFIGS))
        config = with_workers(CONFIGS[name], draw.choice((0, 0, 2)))
        codes = assert_exact(config, [Clock(draw.uniform(0.02, length))], whole[name][1], allow=["tasks"])
        killed += codes[0] == -9
    assert killed >= len(seeds) // 3, f"{killed} of {len(seeds)} runs were killed before their end"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_kill_at_a_random_time_changes_nothing(part: int, whole: dict[str, Whole]) -> None:
    kill_at_random(range(part * 25, part * 25 + 25), whole)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(40))
def test_two_thousand_kills_at_random_times_change_nothing(part: int, whole: dict[str, Whole]) -> None:
    kill_at_random(range(1000 + part * 50, 1050 + part * 50), whole)


def kill_in_chains(seeds: range, whole: dict[str, Whole]) -> None:
    """Five kills in one run, some of them before the resume has made a step; a phase may not come any more."""
    killed = 0
    for seed in seeds:
        draw = random.Random(seed)
        name = draw.choice(list(CONFIGS))
        counts, expected = whole[name]
        kills = []
        for turn in range(5):
            phase = draw.choice([*PHASES, *RESUMING] if turn else list(PHASES))
            # Each begins where the newest checkpoint is: a share of the run, so that all five find something to kill.
            kills.append(Kill(phase, draw.randrange(max(counts[phase] // 4, 1))))
        codes = assert_exact(with_workers(CONFIGS[name], draw.choice((0, 0, 2))), kills, expected, allow=["tasks"])
        killed += codes.count(-9)
    assert killed >= 3 * len(seeds), f"{killed} kills in {len(seeds)} chains"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_five_kills_in_one_run_change_nothing(part: int, whole: dict[str, Whole]) -> None:
    kill_in_chains(range(part * 5, part * 5 + 5), whole)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(15))
def test_three_hundred_chains_of_five_kills_change_nothing(part: int, whole: dict[str, Whole]) -> None:
    kill_in_chains(range(1000 + part * 20, 1020 + part * 20), whole)


@pytest.mark.parametrize("phase", RESUMING)
def test_a_kill_during_the_resume_changes_nothing(phase: str, whole: dict[str, Whole]) -> None:
    kills = [Kill("the step is counted", 16), Kill(phase, 0), Kill(phase, 0)]
    assert assert_exact(CONFIGS["SGD"], kills, whole["SGD"][1], allow=["tasks"]) == [-9, -9, -9, 0]


@pytest.mark.parametrize(
    "times", [pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.nightly)]
)
def test_the_command_line_killed_at_random_times_and_resumed_changes_nothing(tmp_path: Path, times: int) -> None:
    """Each in processes of its own: `assay train`, SIGKILL, `assay train --resume`."""
    config = {**tasks.config(), "folder": "saved"}
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    (tmp_path / "tasks.py").write_bytes(Path(tasks.__file__).read_bytes())
    (tmp_path / "run.json").write_bytes(orjson.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from assay.cli import main; main()", "train", "--quiet", "--no-preflight"]

    def ended(place: Path, *arguments: str, within: float | None = None) -> int:
        process = subprocess.Popen([*command, *arguments], cwd=tmp_path, env=environment)
        if within is not None:
            while launched(place) is None and process.poll() is None:
                time.sleep(0.005)
            time.sleep(within)
            process.kill()
        return process.wait(timeout=120)

    assert ended(tmp_path / "whole", "run.json", "--set", "folder=whole") == 0
    expected = outcome(tmp_path / "whole")
    killed = 0
    for seed in range(times):
        place = tmp_path / f"killed-{seed}"
        within = random.Random(seed).uniform(0.0, 0.8)
        killed += ended(place, "run.json", "--set", f"folder={place.name}", within=within) == -9
        run = launched(place)
        assert run is not None
        assert ended(place, "--resume", str(run)) in (0, 7)
        assert outcome(place) == expected
    assert killed


def another_seed() -> None:
    """Step 17 gets another seed than it has, and step 16 kills."""
    right = base.step_seed
    base.step_seed = lambda seed, step, rank: right(seed, step, rank) + (step == 17)
    Kill("a batch has come", 25).arm()


def test_the_harness_sees_another_seed_of_one_step(whole: dict[str, Whole]) -> None:
    """Otherwise the tests above would pass for nothing."""
    with pytest.raises(AssertionError, match=r"last\.model\.head\.weight"):
        assert_exact(CONFIGS["AdamW"], [another_seed], whole["AdamW"][1], allow=["tasks"])
