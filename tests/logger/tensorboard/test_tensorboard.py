from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from assay.logger.tensorboard import event_file
from assay.logger.tensorboard.logger import TensorBoardLogger
from assay.store.journal import JOURNAL, Journal, cut, read
from assay.store.samples import SYSTEM, read_samples
from event_files import (
    CREATED,
    event_files,
    journalled,
    measure_machine,
    open_logger,
    read_events,
    sampled_scalars,
    shown,
)


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("TensorBoardLogger")


def test_every_scalar_of_the_journal_is_there_once_at_its_step_and_time(run: Any) -> None:
    run.append(1500)
    run.journal.append(
        phase="validation", epoch=1, step=7, samples=9, values={"a": math.nan, "b": math.inf, "c": -math.inf}
    )
    run.journal.append(phase="test", epoch=1, step=7, samples=9, values={"a": 1e30, "b/c": 0.0})
    run.journal.append(phase="test", epoch=1, step=7, samples=9, values={"a": 0.25}, time=12.5)
    logger = open_logger(run)
    records = list(read(run.folder / JOURNAL))
    logger.log(records[:3])
    logger.log(records[3:])
    assert shown(run.folder) == journalled(run.folder)
    assert len(shown(run.folder)) == 3006
    assert ("test/a", 7, 12.5, "0.25") in shown(run.folder)


def test_records_that_come_again_are_there_once(run: Any) -> None:
    run.append(10)
    logger = open_logger(run)
    records = list(read(run.folder / JOURNAL))
    logger.log(records)
    logger.log(records[4:])
    logger.log(records[9:])
    assert shown(run.folder) == journalled(run.folder)
    assert len(event_files(run.folder)) == 1


def test_what_was_written_but_not_confirmed_before_a_kill_is_written_once(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    logger = open_logger(run)
    logger.log(records[:5])
    with monkeypatch.context() as patch:
        patch.setattr(event_file.Position, "save", lambda position, path: None)
        logger.log(records[5:8])
    assert len(shown(run.folder)) == 16
    again = open_logger(run, delivered=4)
    assert shown(run.folder) == journalled(run.folder, last=4)
    again.log(records[5:])
    assert shown(run.folder) == journalled(run.folder)


def test_what_was_confirmed_but_not_by_the_courier_before_a_kill_is_written_once(run: Any) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    open_logger(run).log(records[:8])
    again = open_logger(run, delivered=4)
    assert shown(run.folder) == journalled(run.folder, last=4)
    again.log(records[5:])
    assert shown(run.folder) == journalled(run.folder)


@pytest.mark.parametrize("torn", [-3, +7], ids=["shorter than confirmed", "with half a record more"])
def test_a_torn_event_file_is_made_whole(run: Any, torn: int) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    open_logger(run).log(records[:8])
    (path,) = event_files(run.folder)
    content = path.read_bytes()
    path.write_bytes(content[:torn] if torn < 0 else content + bytes(torn))
    open_logger(run, delivered=7).log(records[8:])
    assert shown(run.folder) == journalled(run.folder)


@pytest.mark.parametrize("new", [0, 2, 9])
def test_after_a_cut_only_what_the_journal_now_holds_is_shown(run: Any, new: int) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    logger = open_logger(run)
    logger.log(list(read(run.folder / JOURNAL)))
    cut(run.folder, offset, 5)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(new, loss=7.0)
    logger = open_logger(run, delivered=4)
    if new:
        logger.log(list(read(run.folder / JOURNAL))[5:])
    assert shown(run.folder) == journalled(run.folder)
    assert len(event_files(run.folder)) == 1


def test_a_removed_folder_comes_back_whole(run: Any) -> None:
    run.append(6)
    logger = open_logger(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    for path in (run.folder / "tensorboard").iterdir():
        path.unlink()
    open_logger(run, delivered=5)
    assert shown(run.folder) == journalled(run.folder)


@pytest.mark.parametrize("place", ["rename", "save", "_remove_others"])
def test_a_rewriting_killed_anywhere_leaves_one_whole_file_after_the_next_start(
    run: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*arguments: Any) -> Any:
        raise Killed

    run.append(6)
    open_logger(run).log(list(read(run.folder / JOURNAL)))
    owner = {"rename": Path, "save": event_file.Position, "_remove_others": TensorBoardLogger}[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, killed)
        with pytest.raises(Killed):
            open_logger(run, delivered=3)
    open_logger(run, delivered=5)
    assert shown(run.folder) == journalled(run.folder)
    assert len(event_files(run.folder)) == 1


def test_a_changed_configuration_replaces_the_one_shown(run: Any) -> None:
    run.append(3)
    logger = open_logger(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    run.write("config.json", {"epochs": 20})
    for _ in range(2):
        logger.file(run.folder / "config.json", "config.json")
    (text,) = read_events(run.folder).Tensors("config")
    assert b'"epochs": 20' in text.tensor_proto.string_val[0]
    assert shown(run.folder) == journalled(run.folder)


def _end(run: Any) -> list[str]:
    content = read_events(run.folder).PluginTagToContent("hparams").get("_hparams_/session_end_info")
    return [str(HParamsPluginData.FromString(content).session_end_info)] if content else []


def test_the_end_of_a_run_is_shown_and_taken_back_when_it_goes_on(run: Any) -> None:
    run.append(3)
    logger = open_logger(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    logger.close("running")
    assert _end(run) == []
    logger.close("interrupted")
    assert "STATUS_FAILURE" in _end(run)[0]
    logger = open_logger(run, delivered=2)
    logger.close("interrupted")
    run.append(2)
    logger.log(list(read(run.folder / JOURNAL))[3:])
    assert _end(run) == []
    logger.close("completed")
    assert "STATUS_SUCCESS" in _end(run)[0]
    assert shown(run.folder) == journalled(run.folder)


def test_what_the_machine_used_is_shown_by_the_seconds_of_the_run(run: Any) -> None:
    run.append(3)
    samples = measure_machine(run, 5)
    logger = open_logger(run)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples[:2])
    logger.system(samples[2:])
    assert shown(run.folder) == sorted(journalled(run.folder) + sampled_scalars(run.folder))
    assert ("system/machine/cores/1", 3, CREATED + 3.5, "3.0") in shown(run.folder)


@pytest.mark.parametrize(("delivered", "sampled"), [(4, 2), (9, 2), (4, 5), (9, 5)])
def test_samples_and_records_are_there_once_wherever_a_kill_came(run: Any, delivered: int, sampled: int) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    samples = measure_machine(run, 6)
    logger = open_logger(run)
    for index in (0, 5):
        logger.log(records[index : index + 5])
        logger.system(samples[index // 5 * 3 : index // 5 * 3 + 3])
    again = open_logger(run, delivered, samples[sampled].id)
    for part in (records[delivered + 1 :], records[8:]):
        if part:
            again.log(part)
    for rest in (samples[sampled + 1 :], samples):
        again.system(rest)
    assert shown(run.folder) == sorted(journalled(run.folder) + sampled_scalars(run.folder))


def test_a_cut_of_the_journal_and_a_changed_file_keep_the_samples(run: Any) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    samples = measure_machine(run, 4)
    logger = open_logger(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples)
    logger.close("interrupted")
    cut(run.folder, offset, 5)
    logger = open_logger(run, 4, samples[-1].id)
    run.write("config.json", {"epochs": 3})
    logger.file(run.folder / "config.json", "config.json")
    assert shown(run.folder) == sorted(journalled(run.folder) + sampled_scalars(run.folder))


def test_what_the_machine_used_can_be_left_out(run: Any) -> None:
    run.append(3)
    samples = measure_machine(run, 2)
    logger = open_logger(run, system=False)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples)
    (before,) = event_files(run.folder)
    open_logger(run, 2, samples[-1].id, system=False)
    assert event_files(run.folder) == [before]
    assert shown(run.folder) == journalled(run.folder)
    open_logger(run, 2, samples[-1].id)
    assert shown(run.folder) == sorted(journalled(run.folder) + sampled_scalars(run.folder))


def test_a_tag_of_the_machine_has_one_point_at_a_step_over_kills_and_resumes(run: Any) -> None:
    times = [0.1, 0.9, 1.0, 1.9, 7.5]
    lines = [{"time": CREATED + time, "machine": {"load": time}} for time in times]
    trained = [{"time": CREATED + 8, "training": {"step": step, "seconds": 0.5}} for step in (11, 22, 22, 33)]
    (run.folder / SYSTEM).write_text("".join(json.dumps(line) + "\n" for line in [*lines, *trained]))
    samples = read_samples(run.folder / SYSTEM)
    logger = open_logger(run)
    for start in range(0, len(samples), 2):
        logger.system(samples[start : start + 2])
    expected = [("system/machine/load", step) for step in (0, 1, 2, 3, 7)]
    expected += [(f"system/training/{name}", step) for name in ("seconds", "step") for step in (11, 22, 33)]
    assert [(tag, step) for tag, step, *_ in shown(run.folder)] == expected
    open_logger(run, sampled=samples[3].id).system(samples[2:])
    assert [(tag, step) for tag, step, *_ in shown(run.folder)] == expected
