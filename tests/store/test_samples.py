from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from assay.store import samples as module
from assay.store.samples import append_sample, read_samples


def write_many(path: Path, number: int) -> None:
    for step in range(300):
        append_sample(path, {"time": float(step), "machine": {"number": number, "filling": "x" * 500}})


def test_lines_of_two_processes_are_neither_torn_nor_doubled(tmp_path: Path) -> None:
    path = tmp_path / "system.jsonl"
    workers = [get_context("spawn").Process(target=write_many, args=(path, number)) for number in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = read_samples(path, limit=10_000)
    assert [sorted(s.time for s in found if s.machine["number"] == n) for n in (0, 1)] == [
        [float(step) for step in range(300)]
    ] * 2
    assert len(path.read_bytes().splitlines()) == 600


def test_half_a_line_of_a_full_disk_costs_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "system.jsonl"
    append_sample(path, {"time": 1.0})
    write = os.write

    def full(descriptor: int, line: bytes) -> int:
        if len(line) > 5:
            return write(descriptor, line[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        append_sample(path, {"t": 2})
    monkeypatch.setattr(module.os, "write", write)
    append_sample(path, {"time": 3.0})
    append_sample(path, {"time": 4.0})
    assert [sample.time for sample in read_samples(path)] == [1.0, 3.0, 4.0]


def test_a_line_that_is_still_being_written_is_waited_for_and_ids_go_on(tmp_path: Path) -> None:
    path = tmp_path / "system.jsonl"
    append_sample(path, {"time": 1.0, "run": {"cpu_percent": 50.0}})
    with path.open("ab") as stream:
        stream.write(b'{"time": 2.0')
    (first,) = read_samples(path)
    with path.open("ab") as stream:
        stream.write(b"}\n")
    (second,) = read_samples(path, after=first.id)
    assert (second.time, second.id) == (2.0, path.read_bytes().index(b'{"time": 2.0'))
    assert read_samples(path, after=second.id) == []


def test_samples_have_scalars_with_full_names() -> None:
    machine = {"cpu_percent": 9.5, "cpu_percent_by_core": [1, 18], "gpus": {"0": {"name": "A100", "power_watts": 70}}}
    sample = module.Sample(0, 1.0, machine, {"processes": 3}, {})
    assert dict(sample.scalars()) == {
        "system/machine/cpu_percent": 9.5,
        "system/machine/cpu_percent_by_core/0": 1.0,
        "system/machine/cpu_percent_by_core/1": 18.0,
        "system/machine/gpus/0/power_watts": 70.0,
        "system/run/processes": 3.0,
    }
