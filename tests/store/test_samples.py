from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from assay.store import samples as module
from assay.store.samples import append_sample, last_sample, read_samples


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


LINES = [
    b'{"time":1.0,"machine":{"cpu_percent":5.0,"cpu_percent_by_core":[1,9]},"run":{"processes":2}}\n',
    b'{"time":2.0,"training":{"epoch":0,"seconds":2.5}}\n',
    b'{"time":3.0,"machine":{"gpus":[{"name":"H100","power_watts":300.5}],"throttled":true},"run":{}}\n',
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "system.jsonl").write_bytes(b"".join(LINES))
    return tmp_path / "system.jsonl"


def test_a_samples_id_is_where_its_line_begins(path: Path) -> None:
    samples = read_samples(path)
    assert [sample.id for sample in samples] == [0, len(LINES[0]), len(LINES[0] + LINES[1])]
    assert [sample.time for sample in samples] == [1.0, 2.0, 3.0]
    assert read_samples(path, samples[0].id) == samples[1:]
    assert read_samples(path, samples[0].id, limit=1) == samples[1:2]
    assert read_samples(path, samples[-1].id) == []
    assert last_sample(path) == samples[-1].id


def test_a_line_that_is_being_written_is_not_read_yet(path: Path) -> None:
    whole = read_samples(path)
    with path.open("ab") as stream:
        stream.write(LINES[0][:20])
    assert read_samples(path) == whole
    assert last_sample(path) == whole[-1].id
    with path.open("ab") as stream:
        stream.write(LINES[0][20:])
    (new,) = read_samples(path, whole[-1].id)
    assert new.machine == whole[0].machine
    assert last_sample(path) == new.id


def test_a_damaged_line_is_left_out(path: Path) -> None:
    path.write_bytes(LINES[0] + b'{"time": 1.0, "mach' + LINES[1] + b"[]\n" + b'{"time":1,"x":2}\n' + LINES[2])
    assert [sample.time for sample in read_samples(path)] == [1.0, 3.0]


def test_there_is_nothing_in_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    assert (read_samples(tmp_path / "none"), last_sample(tmp_path / "none")) == ([], -1)
    (tmp_path / "empty").touch()
    assert (read_samples(tmp_path / "empty"), last_sample(tmp_path / "empty")) == ([], -1)


def test_the_last_line_is_found_however_long_it_is(path: Path) -> None:
    with path.open("ab") as stream:
        start = stream.tell()
        stream.write(b'{"time":4.0,"machine":{"x":"' + b"y" * 100_000 + b'"}}\n')
    assert last_sample(path) == start == read_samples(path)[-1].id
