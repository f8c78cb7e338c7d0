from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from assay.logger.tensorboard.event_file import Position, append, create


def _steps(path: Path) -> list[int]:
    return [event.step for event in EventFileLoader(str(path)).Load()][2:]


def test_a_new_file_begins_with_its_version_and_a_start(tmp_path: Path) -> None:
    path = create(tmp_path, [Event(step=4)], since=12.0)
    version, start, event = EventFileLoader(str(path)).Load()
    assert (version.file_version, version.wall_time) == ("brain.Event:2", 12.0)
    assert start.session_log.status == start.session_log.START
    assert event.step == 4
    assert list(tmp_path.iterdir()) == [path]


def test_names_follow_one_another_in_time(tmp_path: Path) -> None:
    names = [create(tmp_path, [], since=0.0).name for _ in range(20)]
    assert names == sorted(set(names))


def test_appending_takes_the_place_of_what_was_not_confirmed(tmp_path: Path) -> None:
    path = create(tmp_path, [Event(step=1)], since=0.0)
    size = append(path, path.stat().st_size, [Event(step=2)])
    append(path, size, [Event(step=3), Event(step=4)])
    end = append(path, size, (Event(step=step) for step in (5, 6)))
    assert _steps(path) == [1, 2, 5, 6]
    assert path.stat().st_size == end


def test_many_events_are_all_written(tmp_path: Path) -> None:
    path = create(tmp_path, (Event(step=step) for step in range(2500)), since=0.0)
    assert _steps(path) == list(range(2500))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"unknown": 1}'])
def test_a_position_that_is_damaged_is_the_beginning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "position.json").write_bytes(content)
    assert Position.load(tmp_path / "position.json") == Position()


def test_a_position_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    position = Position(7, "events", 512, {"config.json": "ab"}, "completed")
    position.save(tmp_path / "position.json")
    assert Position.load(tmp_path / "position.json") == position
