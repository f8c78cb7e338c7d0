from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from assay.errors import StorageError
from assay.store import journal as module
from assay.store.journal import CUT, JOURNAL, Journal, cut, digest, last_id, read


def _write(path: Path, count: int, start: int = 0) -> Journal:
    journal = Journal(path)
    for step in range(start, start + count):
        journal.append(phase="batch", epoch=0, step=step, samples=64 * step, values={"loss": 1 / (step + 1)})
    return journal


def _ids(path: Path) -> list[int]:
    return [record.id for record in read(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / JOURNAL


def test_values_come_back_as_they_were_written(path: Path) -> None:
    values = {
        "loss": 0.1 + 0.2,
        "tiny": 5e-324,
        "nan": math.nan,
        "up": math.inf,
        "down": -math.inf,
        "count": 3,
    }
    media = {"digits": {"kind": "image", "path": "media/digits.png"}}
    journal = Journal(path)
    journal.append(phase="test", epoch=2, step=9, samples=576, values=values, media=media, time=12.5)
    (record,) = read(path)
    assert (record.id, record.time, record.phase, record.epoch) == (0, 12.5, "test", 2)
    assert (record.step, record.samples, record.media) == (9, 576, media)
    assert math.isnan(record.values.pop("nan"))
    del values["nan"]
    assert record.values == values
    assert dict(record.scalars())["test/up"] == math.inf


def test_numbers_of_numpy_are_written_as_numbers(path: Path) -> None:
    Journal(path).append(phase="train", epoch=0, step=0, samples=0, values={"a": np.float32(0.5), "b": np.int64(2)})
    assert next(read(path)).values == {"a": 0.5, "b": 2.0}


def test_every_line_is_strict_json_with_the_promised_fields(path: Path) -> None:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    Journal(path).append(phase="train", epoch=0, step=1, samples=2, values={"loss": math.nan, "lr": -math.inf})
    line = json.loads(path.read_text(), parse_constant=refuse)
    assert list(line) == ["id", "time", "phase", "epoch", "step", "samples", "values"]
    assert line["values"] == {"loss": "NaN", "lr": "-Infinity"}
    assert abs(line["time"] - time.time()) < 60


def test_ids_and_offset_count_what_is_in_the_file(path: Path) -> None:
    journal = Journal(path)
    assert (journal.next_id, journal.offset) == (0, 0)
    assert [journal.append(phase="train", epoch=0, step=0, samples=0, values={}) for _ in range(3)] == [
        0,
        1,
        2,
    ]
    assert (journal.next_id, journal.offset) == (3, path.stat().st_size)


def test_a_journal_opened_again_goes_on_with_its_ids(path: Path) -> None:
    _write(path, 3).close()
    journal = Journal(path)
    assert (journal.next_id, journal.offset) == (3, path.stat().st_size)
    assert Journal(path, next_id=7).next_id == 7
    assert Journal(path, next_id=1).next_id == 3


@pytest.mark.parametrize("torn", [b'{"id":3,"time":1.0,"ph', b"\0" * 300, b'{"id":3,"ti\0\0\0\n', b"\n"])
def test_a_torn_last_line_is_repaired_on_opening(path: Path, torn: bytes) -> None:
    _write(path, 3).close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert _ids(path) == [0, 1, 2]
    assert last_id(path) == 2
    journal = Journal(path)
    assert path.read_bytes() == whole
    journal.append(phase="train", epoch=0, step=0, samples=0, values={})
    assert _ids(path) == [0, 1, 2, 3]


def test_a_file_that_holds_nothing_but_a_torn_line_becomes_empty(path: Path) -> None:
    path.write_bytes(b'{"id":0,"ti')
    assert Journal(path).next_id == 0
    assert path.read_bytes() == b""


def test_more_damage_than_a_torn_line_is_not_thrown_away(path: Path) -> None:
    _write(path, 2).close()
    path.write_bytes(damaged := path.read_bytes() + b"one\ntwo\n")
    with pytest.raises(StorageError, match="damaged"):
        Journal(path)
    assert path.read_bytes() == damaged


def test_a_disk_that_takes_half_a_line_leaves_no_part_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = _write(path, 1)
    whole, write = path.read_bytes(), os.write
    monkeypatch.setattr(module.os, "write", lambda descriptor, line: write(descriptor, line[: len(line) // 2]))
    with pytest.raises(StorageError, match="the disk took"):
        journal.append(phase="train", epoch=0, step=0, samples=0, values={})
    assert path.read_bytes() == whole
    monkeypatch.undo()
    assert journal.append(phase="train", epoch=0, step=0, samples=0, values={}) == 1
    assert _ids(path) == [0, 1]


def test_a_refusing_disk_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = _write(path, 1)

    def full(descriptor: int, line: bytes) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        journal.append(phase="train", epoch=0, step=0, samples=0, values={})
    with pytest.raises(StorageError, match="could not write"):
        Journal(path.parent / "missing" / JOURNAL)


def test_damage_before_the_last_line_is_named_by_its_number(path: Path) -> None:
    _write(path, 3).close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(StorageError, match="line 2 of"):
        list(read(path))


def test_a_journal_that_is_not_there_has_no_records(path: Path) -> None:
    assert _ids(path) == []
    assert last_id(path) == -1


def test_the_last_id_is_found_behind_lines_of_any_length(path: Path) -> None:
    journal = Journal(path)
    for length in (10, 70_000, 300_000, 5):
        values = {f"name-{number}": 1.0 for number in range(length // 14)}
        journal.append(phase="train", epoch=0, step=0, samples=0, values=values)
        assert last_id(path) == journal.next_id - 1
        assert Journal(path).offset == journal.offset


def test_a_kill_loses_no_record_that_was_appended(path: Path) -> None:
    code = """
import sys
from pathlib import Path
from assay.store.journal import Journal
journal = Journal(Path(sys.argv[1]))
while True:
    number = journal.append(phase="batch", epoch=0, step=0, samples=0, values={"loss": 1.0})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(200):
            told = int(process.stdout.readline())
        process.kill()
    ids = _ids(path)
    assert ids == list(range(len(ids)))
    assert len(ids) > told


def test_the_digest_is_that_of_the_file_however_often_it_is_asked_for(path: Path) -> None:
    journal = Journal(path)
    for step in range(5):
        journal.append(phase="train", epoch=0, step=step, samples=step, values={"loss": 0.5})
        assert journal.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    journal.close()
    assert Journal(path, 5).digest() == digest(path, path.stat().st_size)
    assert digest(path, 10) == hashlib.sha256(path.read_bytes()[:10]).hexdigest()


@pytest.mark.parametrize("what", ["moved", "removed", "another"])
def test_a_journal_that_is_not_where_it_was_is_noticed_before_a_checkpoint_counts_on_it(path: Path, what: str) -> None:
    journal = Journal(path)
    journal.append(phase="train", epoch=0, step=1, samples=1, values={"loss": 0.5})
    journal.sync()
    path.rename(path.with_name("elsewhere")) if what == "moved" else path.unlink()
    if what == "another":
        path.write_text("")
    with pytest.raises(StorageError, match="is gone or another file"):
        journal.sync()


def test_importing_the_journal_imports_no_torch() -> None:
    code = "import sys, assay.store.journal, assay.store.tail; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _run_with_cursors(folder: Path, **ids: int) -> tuple[int, bytes, bytes]:
    """Five records; the offset behind the third, what stays and what is to go."""
    offset = _write(folder / JOURNAL, 3).offset
    _write(folder / JOURNAL, 2, start=3).close()
    (folder / "courier").mkdir(exist_ok=True)
    for name, number in ids.items():
        (folder / "courier" / f"{name}.json").write_text(json.dumps({"id": number, "files": {"a": "b"}}))
    content = (folder / JOURNAL).read_bytes()
    return offset, content[:offset], content[offset:]


def _cursor(folder: Path, name: str) -> Any:
    return json.loads((folder / "courier" / f"{name}.json").read_text())


def test_a_cut_moves_the_lines_away_and_rewinds_the_cursors(tmp_path: Path) -> None:
    offset, kept, gone = _run_with_cursors(tmp_path, behind=1, at=2, beyond=3, far=4)
    assert cut(tmp_path, offset, next_id=3) == 2
    assert (tmp_path / JOURNAL).read_bytes() == kept
    assert (tmp_path / CUT).read_bytes() == gone
    assert [_cursor(tmp_path, name)["id"] for name in ("behind", "at", "beyond", "far")] == [1, 2, 2, 2]
    assert _cursor(tmp_path, "far")["files"] == {"a": "b"}
    assert Journal(tmp_path / JOURNAL, next_id=3).next_id == 3


def test_cuts_add_up_in_the_archive(tmp_path: Path) -> None:
    offset, _, _ = _run_with_cursors(tmp_path)
    cut(tmp_path, offset, 3)
    _write(tmp_path / JOURNAL, 4, start=3).close()
    assert cut(tmp_path, offset, 3) == 4
    assert [record.id for record in read(tmp_path / CUT)] == [3, 4, 3, 4, 5, 6]


def test_a_cut_of_nothing_changes_nothing(tmp_path: Path) -> None:
    _, kept, gone = _run_with_cursors(tmp_path, at=4)
    assert cut(tmp_path, len(kept + gone), 5) == 0
    assert (tmp_path / JOURNAL).read_bytes() == kept + gone
    assert not (tmp_path / CUT).exists()
    assert _cursor(tmp_path, "at")["id"] == 4


def test_a_run_without_a_journal_is_cut_at_its_beginning_only(tmp_path: Path) -> None:
    assert cut(tmp_path, 0, 0) == 0
    with pytest.raises(StorageError, match="No such file"):
        cut(tmp_path, 10, 1)


def test_a_cut_leaves_a_torn_line_out_of_the_archive(tmp_path: Path) -> None:
    offset, kept, gone = _run_with_cursors(tmp_path)
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(b'{"id":5,')
    assert cut(tmp_path, offset, 3) == 2
    assert ((tmp_path / JOURNAL).read_bytes(), (tmp_path / CUT).read_bytes()) == (kept, gone)


@pytest.mark.parametrize("wrong", [-1, +1, 10_000])
def test_a_cut_at_a_place_that_is_no_end_of_a_line_is_refused(tmp_path: Path, wrong: int) -> None:
    offset, kept, gone = _run_with_cursors(tmp_path)
    with pytest.raises(StorageError, match="does not fit the checkpoint"):
        cut(tmp_path, offset + wrong, 3)
    assert (tmp_path / JOURNAL).read_bytes() == kept + gone
    assert not (tmp_path / CUT).exists()


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["write", "half a write", "sync", "fsync_folder", "write_json", "ftruncate", "fsync"])
def test_a_cut_killed_anywhere_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    offset, kept, gone = _run_with_cursors(tmp_path, far=4)
    real = Journal.write

    def killed(*arguments: Any, **named: Any) -> NoReturn:
        raise _Killed

    def half(self: Journal, lines: bytes) -> None:
        real(self, lines[: len(lines) * 3 // 4])
        raise _Killed

    if place in ("write", "sync"):
        monkeypatch.setattr(Journal, place, killed)
    elif place == "half a write":
        monkeypatch.setattr(Journal, "write", half)
    elif place in ("fsync_folder", "write_json"):
        monkeypatch.setattr(module, place, killed)
    else:
        calls = {"ftruncate": 1, "fsync": 1}  # the first call of each is for the archive

        def later(*arguments: Any) -> None:
            calls[place] -= 1
            if calls[place] < 0:
                raise _Killed

        monkeypatch.setattr(module.os, place, later)
    with pytest.raises(_Killed):
        cut(tmp_path, offset, 3)
    assert (tmp_path / JOURNAL).read_bytes() in (kept, kept + gone)
    monkeypatch.undo()
    cut(tmp_path, offset, 3)
    assert (tmp_path / JOURNAL).read_bytes() == kept
    assert (tmp_path / CUT).read_bytes() == gone
    assert _cursor(tmp_path, "far")["id"] == 2


def test_a_cursor_that_a_power_loss_emptied_does_not_stop_a_cut(tmp_path: Path) -> None:
    offset, kept, _ = _run_with_cursors(tmp_path, far=4)
    (tmp_path / "courier" / "empty.json").write_bytes(b"")
    cut(tmp_path, offset, 3)
    assert (tmp_path / JOURNAL).read_bytes() == kept
    assert _cursor(tmp_path, "far")["id"] == 2


def test_numbers_are_written_in_full_whatever_their_type_and_the_word_null_is_no_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL)
    values = {"null": 0.1, "array": np.float32(0.1), "tensor": torch.tensor(2.0), "large": 10**30, "none": -math.inf}
    for names in (["null"], ["array"], ["tensor", "null"], ["large"], ["none", "null"]):
        journal.append(phase="test", epoch=0, step=1, samples=1, values={name: values[name] for name in names})
    records = list(read(tmp_path / JOURNAL))
    assert [record.values for record in records] == [
        {"null": 0.1},
        {"array": float(np.float32(0.1))},
        {"tensor": 2.0, "null": 0.1},
        {"large": 1e30},
        {"none": -math.inf, "null": 0.1},
    ]
    assert [record.id for record in records] == [0, 1, 2, 3, 4]
