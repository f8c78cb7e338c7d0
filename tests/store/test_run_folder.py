from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.errors import ConfigError, StorageError
from assay.store.index import runs
from assay.store.lock import Lock, is_held
from assay.store.run_folder import RunFolder, find_run


def made(base: Path, name: str = "run") -> RunFolder:
    run = RunFolder.create(base, "project", name)
    run.config.write_text("{}")
    return run


def test_runs_of_one_name_in_one_second_never_share_a_folder(tmp_path: Path) -> None:
    assert len({made(tmp_path).path for _ in range(20)}) == 20


def test_a_status_keeps_the_facts_that_are_not_replaced(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.write_status("running", created=1.0, epoch=1)
    run.write_status("completed", epoch=2)
    status = run.read_status()
    assert (status["state"], status["created"], status["epoch"]) == ("completed", 1.0, 2)


def test_a_run_is_found_by_path_name_beginning_end_and_as_the_last(tmp_path: Path) -> None:
    one, two = made(tmp_path, "one"), made(tmp_path, "two")
    os.utime(one.config, (1, 1))
    listed = f"project/{one.path.name}"  # as `assay runs` prints it
    for text in (str(one.path), one.path.name, "one-", one.path.name[-6:], listed, listed[:-3]):
        assert find_run(text, tmp_path).path == one.path
    assert find_run("last", tmp_path).path == two.path


def test_a_name_of_no_run_or_of_several_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, "one"), made(tmp_path, "one")
    with pytest.raises(ConfigError, match="2 runs are named"):
        find_run("one", tmp_path)
    with pytest.raises(ConfigError, match="no run is named"):
        find_run("three", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError):
        made(tmp_path)


def test_a_file_where_the_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("a file")
    with pytest.raises(StorageError, match="could not write") as caught:
        made(tmp_path / "saved")
    assert caught.value.exit_code == 6


def test_a_lock_is_freed_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = (
        f"from assay.store.lock import Lock; from pathlib import Path; lock = Lock(Path({str(path)!r})); "
        "print('held', flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder, holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        assert is_held(path)
        holder.kill()
        holder.wait()
    assert not is_held(path)
    Lock(path).release()


def test_a_forked_process_does_not_keep_a_run_locked(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "run.lock")
    ready, written = os.pipe()
    child = os.fork()
    if child == 0:  # as a loader's worker, which outlives a parent that was killed
        os.write(written, b"x")
        time.sleep(30)
        os._exit(0)
    try:
        os.read(ready, 1)
        assert is_held(lock.path)
        lock.release()
        assert not is_held(lock.path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_index_reads_the_status_of_every_run(tmp_path: Path) -> None:
    done, died = made(tmp_path, "done"), made(tmp_path, "died")
    (tmp_path / "project" / "no-run").mkdir()
    done.write_status("completed", created=1.0, epoch=3, epochs=3, best={"value": 0.5})
    died.write_status("running", created=2.0)
    held = made(tmp_path, "held")
    held.write_status("running", created=3.0)
    lock = Lock(held.lock)
    found = runs(tmp_path)
    lock.release()
    assert [(summary.path, summary.state) for summary in found] == [
        (done.path, "completed"),
        (died.path, "died"),
        (held.path, "running"),
    ]
    assert found[0].best == 0.5
