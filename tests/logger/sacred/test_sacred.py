from __future__ import annotations

import gzip
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from mongo_runs import CREATED, artifact, grid, journalled, plotted, records, run_info

from assay.logger.sacred.logger import SacredLogger
from assay.logger.sacred.thinning import moment
from assay.store.journal import JOURNAL, cut
from assay.store.samples import SYSTEM, read_samples
from servers import Server, mongo_server

Open = Callable[..., SacredLogger]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = mongo_server(tmp_path_factory.mktemp("mongo")).start()
    yield server
    server.kill()


@pytest.fixture
def base(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A database of this test's own."""
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{server.port}") as client:
        yield client[f"base{abs(hash(request.node.name)) % 10**9}"]


@pytest.fixture
def begin(base: Any, server: Server) -> Iterator[Open]:
    loggers: list[SacredLogger] = []

    def begin(run: Any, delivered: int = -1, sampled: int = -1, **args: Any) -> SacredLogger:
        loggers.append(SacredLogger(f"mongodb://127.0.0.1:{server.port}", base.name, **args))
        loggers[-1].start(run_info(run, delivered, sampled))
        return loggers[-1]

    yield begin
    for logger in loggers:
        if logger.observer:
            logger.observer.close()


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run()


def test_every_point_is_a_point_of_its_metric_once(run: Any, base: Any, begin: Open) -> None:
    run.append(50)
    logger = begin(run)
    logger.log(records(run)[:20])
    logger.log(records(run)[20:])
    assert plotted(base) == journalled(run)
    listed = {entry["name"]: entry["id"] for entry in base.runs.find_one()["info"]["metrics"]}
    assert listed == {metric["name"]: str(metric["_id"]) for metric in base.metrics.find()}
    assert any("run_id" in str(index["key"]) for index in base.metrics.list_indexes())


def test_what_comes_again_is_not_there_twice(run: Any, base: Any, begin: Open) -> None:
    run.append(30)
    logger = begin(run)
    logger.log(records(run))
    logger.log(records(run)[10:])
    assert plotted(base) == journalled(run)
    logger.start(run_info(run, 9))
    logger.log(records(run)[10:])
    again = begin(run, 19)
    again.log(records(run)[20:])
    assert plotted(base) == journalled(run)
    assert [entry["_id"] for entry in base.runs.find()] == [1]


def test_a_process_that_is_killed_between_two_documents_doubles_nothing(run: Any, base: Any, begin: Open) -> None:
    run.append(30)
    logger = begin(run)
    logger.log(records(run)[:10])
    one = base.metrics.find_one({"name": "batch/loss"})
    logger.log(records(run)[10:])
    base.metrics.replace_one({"_id": one["_id"]}, one)  # as if this one had not been written
    again = begin(run, 9)
    again.log(records(run)[10:])
    assert plotted(base) == journalled(run)


def test_a_document_that_somebody_else_changed_is_written_anew(run: Any, base: Any, begin: Open) -> None:
    run.append(30)
    logger = begin(run)
    logger.log(records(run)[:10])
    base.metrics.update_one({"name": "batch/loss"}, {"$push": {"steps": 7}, "$set": {"assay.mark": "?"}})
    logger.log(records(run)[10:])
    assert plotted(base) == journalled(run)


def test_a_resume_that_measures_something_else_replaces_what_it_took_back(run: Any, base: Any, begin: Open) -> None:
    run.append(10)
    offset = run.journal.offset
    run.append(10)
    run.journal.append(phase="test", epoch=0, step=20, samples=20, values={"loss": 1.0})
    logger = begin(run)
    logger.log(records(run))
    run.journal.close()
    cut(run.folder, offset, 10)
    run.journal = type(run.journal)(run.folder / JOURNAL, 10)
    logger.start(run_info(run, 9))
    assert plotted(base) == journalled(run, 9)
    run.append(5, loss=0.25)
    logger.log(records(run, 9))
    assert plotted(base) == journalled(run)
    assert {entry["name"] for entry in base.runs.find_one()["info"]["metrics"]} == {"batch/loss", "batch/rate"}


def test_what_a_resume_measures_again_as_it_was_stays_all_the_time(run: Any, base: Any, begin: Open) -> None:
    run.append(10)
    offset = run.journal.offset
    run.append(10)
    logger = begin(run)
    logger.log(records(run))
    before = plotted(base)
    run.journal.close()
    cut(run.folder, offset, 10)
    run.journal = type(run.journal)(run.folder / JOURNAL, 10)
    again = begin(run, 19)  # the courier of the resumed run: what was delivered counts on
    again.beat()
    assert plotted(base) == before
    assert {entry["name"] for entry in base.runs.find_one()["info"]["metrics"]} == {"batch/loss", "batch/rate"}
    run.append(15)
    again.log(records(run, 19))
    assert plotted(base) == journalled(run)


def test_a_long_metric_is_thinned_evenly_and_says_so(run: Any, base: Any, begin: Open) -> None:
    run.append(1000)
    logger = begin(run, max_points=100)
    for start in range(0, 1000, 70):
        logger.log(records(run)[start : start + 70])
    logger.close("completed")
    every = base.metrics.find_one({"name": "batch/loss"})["assay"]["every"]
    assert every == 16
    assert plotted(base) == {name: points[::every] for name, points in journalled(run).items()}
    entry = base.runs.find_one()
    assert entry["info"]["assay"]["one_point_of"] == {"batch/loss": 16, "batch/rate": 16}
    assert base.metrics.find_one({"name": "batch/loss"})["assay"]["measured"] == 1000
    assert gzip.decompress(artifact(base, "journal.jsonl.gz")) == (run.folder / JOURNAL).read_bytes()


def test_a_thinned_metric_is_the_same_however_it_came(run: Any, base: Any, begin: Open, make_run: Any) -> None:
    run.append(700)
    logger = begin(run, max_points=100)
    logger.log(records(run)[:333])
    again = begin(run, 332, max_points=100)
    again.log(records(run)[333:])
    again.close("running")
    expected = {name: points[::8] for name, points in journalled(run).items()}
    assert plotted(base) == expected


def test_what_is_not_finite_is_kept_but_not_plotted(run: Any, base: Any, begin: Open) -> None:
    for value in (1.0, math.nan, 2.0, math.inf, -math.inf):
        run.append(1, loss=value)
    logger = begin(run)
    logger.log(records(run))
    metric = base.metrics.find_one({"name": "batch/loss"})
    assert metric["values"] == [1.0, 2.0]
    assert str(metric["not_finite"]["values"]) == "[nan, inf, -inf]"
    assert metric["not_finite"]["steps"] == [1, 3, 4]
    assert base.runs.find_one()["info"]["assay"]["not_finite"] == {"batch/loss": 3}


def test_two_that_start_at_once_get_two_numbers_and_keep_them(base: Any, begin: Open, make_run: Any) -> None:
    runs = [make_run() for _ in range(4)]
    threads = [threading.Thread(target=begin, args=(run,)) for run in runs for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = {entry["assay"]["run"]: entry["_id"] for entry in base.runs.find()}
    assert sorted(numbers.values()) == [1, 2, 3, 4]
    for run in runs:
        begin(run)
    assert {entry["assay"]["run"]: entry["_id"] for entry in base.runs.find()} == numbers


def test_runs_of_others_are_left_alone_and_their_numbers_not_taken(run: Any, base: Any, begin: Open) -> None:
    base.runs.insert_many([{"_id": 7, "status": "COMPLETED"}, {"_id": "a text"}])
    begin(run)
    assert base.runs.find_one({"assay.run": {"$exists": True}})["_id"] == 8
    assert base.runs.count_documents({}) == 3


def test_the_same_sources_of_two_runs_are_one_file(base: Any, begin: Open, make_run: Any) -> None:
    for run in (make_run(), make_run()):
        (run.folder / "code").mkdir()
        (run.folder / "code" / "model.py").write_text("x = 1\n")
        logger = begin(run)
        logger.file(run.folder / "code" / "model.py", "code/model.py")
        logger.file(run.folder / "code" / "model.py", "code/model.py")
    assert base["fs.files"].count_documents({}) == 1
    sources = [entry["experiment"]["sources"] for entry in base.runs.find()]
    assert sources[0] == sources[1]
    assert sources[0][0][0] == "model.py"
    assert grid(base).get(sources[0][0][1]).read() == b"x = 1\n"
    (run.folder / "code" / "model.py").write_text("x = 2\n")
    logger.file(run.folder / "code" / "model.py", "code/model.py")
    assert [len(entry["experiment"]["sources"]) for entry in base.runs.find()] == [1, 1]
    assert base["fs.files"].count_documents({}) == 2


def test_many_sources_take_few_round_trips(run: Any, base: Any, begin: Open, server: Server) -> None:
    code = run.folder / "code"
    code.mkdir()
    paths = [code / f"module{number}.py" for number in range(60)]
    for number, path in enumerate(paths):
        path.write_text(f"x = {number}\n")
    logger = begin(run)
    commands: list[str] = []

    class Listener(pymongo.monitoring.CommandListener):
        def started(self, event: Any) -> None:
            commands.append(event.command_name)

        def succeeded(self, event: Any) -> None: ...
        def failed(self, event: Any) -> None: ...

    url = f"mongodb://127.0.0.1:{server.port}"
    with pymongo.MongoClient(url, event_listeners=[Listener()]) as client:
        observer: Any = logger.observer
        observer.files.collection = client[base.name]["fs.files"]
        observer.chunks.collection = client[base.name]["fs.chunks"]
        for path in paths:
            logger.file(path, f"code/{path.name}")
    assert [name for name in commands if name != "endSessions"] == ["find", "update", "update"]
    assert len(base.runs.find_one()["experiment"]["sources"]) == base["fs.files"].count_documents({}) == 60


def test_a_file_that_was_half_sent_is_sent_whole(run: Any, base: Any, begin: Open, monkeypatch: Any) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB, two portions
    (run.folder / "big.bin").write_bytes(content)
    logger = begin(run)
    real = pymongo.collection.Collection.bulk_write
    calls = []

    def once(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) in (2, 3, 4):  # it is repeated twice at once
            raise pymongo.errors.AutoReconnect("gone")
        return real(*args, **options)

    monkeypatch.setattr(pymongo.collection.Collection, "bulk_write", once)
    with pytest.raises(pymongo.errors.AutoReconnect):
        logger.file(run.folder / "big.bin", "big.bin")
    logger.start(run_info(run))
    logger.file(run.folder / "big.bin", "big.bin")
    assert artifact(base, "big.bin") == content


def test_an_artifact_that_changed_is_there_in_its_last_form_alone(run: Any, base: Any, begin: Open) -> None:
    logger = begin(run)
    for text in ("one", "two", "two"):
        (run.folder / "notes.txt").write_text(text)
        logger.file(run.folder / "notes.txt", "notes.txt")
    assert artifact(base, "notes.txt") == b"two"
    assert base["fs.files"].count_documents({}) == 1


def test_pictures_and_matrices_are_artifacts_and_go_with_their_records(run: Any, base: Any, begin: Open) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    (run.folder / "media" / "digits-1.png").write_bytes(png)
    run.write("media/confusion-1.json", {"values": [[3, 1], [0, 4]], "labels": ["a", "b"]})
    media = {
        "digits": {"kind": "image", "path": "media/digits-1.png"},
        "confusion": {"kind": "matrix", "path": "media/confusion-1.json"},
        "lost": {"kind": "image", "path": "media/lost.png"},
    }
    run.append(3)
    run.journal.append(phase="validation", epoch=0, step=3, samples=3, values={"loss": 1.0}, media=media)
    logger = begin(run)
    logger.log(records(run))
    assert artifact(base, "media/digits-1.png") == png
    assert artifact(base, "media/confusion-1.png").startswith(png[:4])
    assert len(plotted(base)["validation/loss"]) == 1
    begin(run, 2)
    assert base.runs.find_one()["artifacts"] == []
    assert base["fs.files"].count_documents({}) == 0


def test_samples_of_the_machine_are_metrics_over_seconds(run: Any, base: Any, begin: Open) -> None:
    lines = [
        {"time": CREATED + 2.5, "machine": {"cpu_percent": 10.0, "cpu_percent_by_core": [1.0, 2.0]}, "run": {}},
        {
            "time": CREATED + 4.5,
            "machine": {"cpu_percent": 20.0, "disk_free_bytes": 10**12},
            "run": {"processes": 3, "memory_rss_bytes": 3 << 29, "gpus": {"0": {"memory_used_bytes": 1 << 30}}},
        },
    ]
    (run.folder / SYSTEM).write_text("".join(json.dumps(line) + "\n" for line in lines))
    samples = read_samples(run.folder / SYSTEM)
    logger = begin(run, system=True)
    logger.system(samples)
    logger.system(samples)
    begin(run, -1, samples[0].id, system=True).system(samples[1:])
    shown = {name: [point[:2] for point in points] for name, points in plotted(base).items()}
    assert shown == {
        "system/machine/cpu_percent": [(2, 10.0), (4, 20.0)],
        "system/run/memory_rss_gib": [(4, 1.5)],
        "system/run/gpus/0/memory_used_gib": [(4, 1.0)],
    }


def test_a_run_goes_from_running_to_its_end_and_lives_again_when_it_is_resumed(
    run: Any, base: Any, begin: Open
) -> None:
    run.append(3)
    logger = begin(run)
    entry = base.runs.find_one()
    assert entry["status"] == "RUNNING"
    assert (moment(time.time()) - entry["heartbeat"]).total_seconds() < 60
    before = entry["heartbeat"]
    time.sleep(0.01)
    logger.beat()
    assert base.runs.find_one()["heartbeat"] > before
    (run.folder / "run.log").write_text("epoch 0\n")
    run.write("status.json", {"state": "interrupted", "updated": CREATED + 60, "reason": "Ctrl-C"})
    logger.close("interrupted")
    entry = base.runs.find_one()
    assert (entry["status"], entry["captured_out"]) == ("INTERRUPTED", "epoch 0\n")
    assert entry["stop_time"] == entry["heartbeat"] == moment(CREATED + 60)
    logger.start(run_info(run))  # to deliver a rest, not to go on
    assert base.runs.find_one()["status"] == "INTERRUPTED"
    run.status("running")
    logger.start(run_info(run))
    entry = base.runs.find_one()
    assert entry["status"] == "RUNNING"
    assert "stop_time" not in entry
    run.write("status.json", {"state": "completed", "updated": CREATED + 90, "values": {"best": {"test/loss": 0.5}}})
    logger.close("completed")
    entry = base.runs.find_one()
    assert (entry["status"], entry["result"]) == ("COMPLETED", {"test/loss": 0.5})


def test_a_failed_run_tells_why_and_keeps_what_it_printed(run: Any, base: Any, begin: Open) -> None:
    logger = begin(run)
    (run.folder / "output.log").write_text("x" * 400_000 + "the last words")
    (run.folder / "crash.txt").write_text("Traceback\nValueError: no\n")
    run.write("status.json", {"state": "failed", "updated": time.time(), "reason": "the run stopped"})
    logger.close("failed")
    entry = base.runs.find_one()
    assert entry["status"] == "FAILED"
    assert entry["fail_trace"] == ["the run stopped", "Traceback", "ValueError: no"]
    assert entry["captured_out"].endswith("the last words")
    assert "bytes are left out here" in entry["captured_out"]
    assert len(entry["captured_out"]) < 300_000


def test_a_run_that_died_is_not_shown_as_running(run: Any, base: Any, begin: Open) -> None:
    run.append(2)
    logger = begin(run)
    logger.log(records(run))
    logger.close("died")
    assert base.runs.find_one()["status"] == "PROBABLY_DEAD"


def test_keys_that_mongo_refuses_and_passwords_are_changed(run: Any, base: Any, begin: Open) -> None:
    config = {"$schema": "x", "a.b": {"$c": 1, "big": 10**30}, "url": "http://me:hunter22@host/x"}
    run.write("config.json", config)
    begin(run)
    assert base.runs.find_one()["config"] == {
        "@schema": "x",
        "a,b": {"@c": 1, "big": str(10**30)},
        "url": "http://me:***@host/x",
    }


def test_tags_that_were_given_in_omniboard_stay(run: Any, base: Any, begin: Open) -> None:
    logger = begin(run)
    base.runs.update_one({}, {"$set": {"omniboard": {"tags": ["good"]}}})
    logger.beat()
    begin(run)
    logger.close("completed")
    assert base.runs.find_one()["omniboard"] == {"tags": ["good"]}
