from __future__ import annotations

import io
import os
import sys

import pytest

from assay.utils.streams import Enduring, endure, enduring


def test_what_a_pipe_without_a_reader_refuses_is_dropped_and_told_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    told: list[str] = []
    with os.fdopen(writer, "w", buffering=1) as stream:
        made = Enduring(stream, "stdout")
        made.tell(lambda name, error: told.append(f"{name}: {error.strerror}"))
        for _ in range(3):
            assert made.write("a line\n") == 7
        made.flush()
        print("the stream itself can be written to again", file=stream, flush=True)
    assert told == ["stdout: Broken pipe"]


def test_what_was_lost_before_is_told_to_who_asks_later() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    told: list[str] = []
    with os.fdopen(writer, "w", buffering=1) as stream:
        made = Enduring(stream, "stderr")
        made.write("a line\n")
        made.tell(lambda name, error: told.append(name))
    assert told == ["stderr"]


def test_a_full_disk_costs_text_and_the_stream_stays() -> None:
    with open("/dev/full", "w") as stream:
        made = Enduring(stream, "stdout")
        made.write("a line\n")
        made.flush()
        assert made.lost is not None
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat("/dev/full"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_a_text_that_cannot_be_encoded_is_still_an_error_of_who_prints_it() -> None:
    made = Enduring(io.TextIOWrapper(io.BytesIO(), "ascii"), "stdout")
    with pytest.raises(UnicodeEncodeError):
        made.write("é")


def test_the_streams_come_back() -> None:
    before = sys.stdout, sys.stderr
    with enduring():
        assert isinstance(sys.stdout, Enduring)
        assert endure() == {}  # once is enough
    assert (sys.stdout, sys.stderr) == before
