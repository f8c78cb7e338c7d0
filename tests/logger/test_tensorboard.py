from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from assay.logger import event_file
from assay.logger.base import RunInfo
from assay.logger.tensorboard import TensorBoardLogger
from assay.store.journal import JOURNAL, Journal, cut, read
from assay.store.samples import SYSTEM, Sample, read_samples

Scalar = tuple[str, int, float, str]
CREATED = 1000.0


def _open(run: Any, delivered: int = -1, sampled: int = -1, system: bool = True) -> TensorBoardLogger:
    logger = TensorBoardLogger(system)
    config = json.loads((run.folder / "config.json").read_text())
    logger.start(RunInfo(run.folder, run.folder.name, "digits", "resnet", config, CREATED, delivered, sampled))
    return logger


def _measure_machine(run: Any, count: int) -> list[Sample]:
    """More lines of system.jsonl; all samples that there are."""
    path = run.folder / SYSTEM
    known = len(read_samples(path))
    with path.open("a") as stream:
        for number in range(known, known + count):
            line = {"time": CREATED + 0.5 + number, "machine": {"cpu_percent": float(number), "cores": [1, number]}}
            stream.write(json.dumps(line) + "\n")
    return read_samples(path)


def _sampled(folder: Path) -> list[Scalar]:
    return sorted(
        (tag, number, sample.time, str(np.float32(value)))
        for number, sample in enumerate(read_samples(folder / SYSTEM))
        for tag, value in sample.scalars()
    )


def _read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0, "histograms": 0})
    return accumulator.Reload()


def _shown(folder: Path) -> list[Scalar]:
    accumulator = _read(folder)
    return sorted(
        (tag, event.step, event.wall_time, str(np.float32(event.value)))
        for tag in accumulator.Tags()["scalars"]
        for event in accumulator.Scalars(tag)
    )


def _journalled(folder: Path, last: int | None = None) -> list[Scalar]:
    def scalars() -> Iterator[Scalar]:
        for record in read(folder / JOURNAL):
            if last is None or record.id <= last:
                for tag, value in record.scalars():
                    yield tag, record.step, record.time, str(np.float32(value))

    return sorted(scalars())


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "tensorboard").iterdir() if "tfevents" in path.name]


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
    logger = _open(run)
    records = list(read(run.folder / JOURNAL))
    logger.log(records[:3])
    logger.log(records[3:])
    assert _shown(run.folder) == _journalled(run.folder)
    assert len(_shown(run.folder)) == 3006
    assert ("test/a", 7, 12.5, "0.25") in _shown(run.folder)


def test_records_that_come_again_are_there_once(run: Any) -> None:
    run.append(10)
    logger = _open(run)
    records = list(read(run.folder / JOURNAL))
    logger.log(records)
    logger.log(records[4:])
    logger.log(records[9:])
    assert _shown(run.folder) == _journalled(run.folder)
    assert len(_files(run.folder)) == 1


def test_what_was_written_but_not_confirmed_before_a_kill_is_written_once(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    logger = _open(run)
    logger.log(records[:5])
    with monkeypatch.context() as patch:
        patch.setattr(event_file.Position, "save", lambda position, path: None)
        logger.log(records[5:8])
    assert len(_shown(run.folder)) == 16
    again = _open(run, delivered=4)
    assert _shown(run.folder) == _journalled(run.folder, last=4)
    again.log(records[5:])
    assert _shown(run.folder) == _journalled(run.folder)


def test_what_was_confirmed_but_not_by_the_courier_before_a_kill_is_written_once(run: Any) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    _open(run).log(records[:8])
    again = _open(run, delivered=4)
    assert _shown(run.folder) == _journalled(run.folder, last=4)
    again.log(records[5:])
    assert _shown(run.folder) == _journalled(run.folder)


@pytest.mark.parametrize("torn", [-3, +7], ids=["shorter than confirmed", "with half a record more"])
def test_a_torn_event_file_is_made_whole(run: Any, torn: int) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    _open(run).log(records[:8])
    (path,) = _files(run.folder)
    content = path.read_bytes()
    path.write_bytes(content[:torn] if torn < 0 else content + bytes(torn))
    _open(run, delivered=7).log(records[8:])
    assert _shown(run.folder) == _journalled(run.folder)


@pytest.mark.parametrize("new", [0, 2, 9])
def test_after_a_cut_only_what_the_journal_now_holds_is_shown(run: Any, new: int) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    logger = _open(run)
    logger.log(list(read(run.folder / JOURNAL)))
    cut(run.folder, offset, 5)
    run.journal = Journal(run.folder / JOURNAL)
    run.append(new, loss=7.0)
    logger = _open(run, delivered=4)
    if new:
        logger.log(list(read(run.folder / JOURNAL))[5:])
    assert _shown(run.folder) == _journalled(run.folder)
    assert len(_files(run.folder)) == 1


def test_a_removed_folder_comes_back_whole(run: Any) -> None:
    run.append(6)
    logger = _open(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    for path in (run.folder / "tensorboard").iterdir():
        path.unlink()
    _open(run, delivered=5)
    assert _shown(run.folder) == _journalled(run.folder)


@pytest.mark.parametrize("place", ["rename", "save", "_remove_others"])
def test_a_rewriting_killed_anywhere_leaves_one_whole_file_after_the_next_start(
    run: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*arguments: Any) -> Any:
        raise Killed

    run.append(6)
    _open(run).log(list(read(run.folder / JOURNAL)))
    owner = {"rename": Path, "save": event_file.Position, "_remove_others": TensorBoardLogger}[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, killed)
        with pytest.raises(Killed):
            _open(run, delivered=3)
    _open(run, delivered=5)
    assert _shown(run.folder) == _journalled(run.folder)
    assert len(_files(run.folder)) == 1


def test_the_configuration_is_shown_as_text_and_as_hyperparameters_but_not_as_scalars(run: Any) -> None:
    config = {
        "name": "resnet",
        "optimizer": {"type": "SGD", "args": {"lr": 0.05, "nesterov": True, "none": None}},
        "model": {"args": {"blocks": [1, 2]}},
        "metrics": [{"type": "Accuracy"}],
    }
    run.write("config.json", config)
    (run.folder / "code").mkdir()
    (run.folder / "code" / "model.py").write_text('"""With ``` in it."""\n')
    logger = _open(run)
    for name in ("config.json", "transforms.json", "environment.json", "code/model.py"):
        if (run.folder / name).exists():
            logger.file(run.folder / name, name)
    accumulator = _read(run.folder)
    assert accumulator.Tags()["scalars"] == []
    assert set(accumulator.PluginTagToContent("text")) == {"config", "transforms", "code/model.py"}
    source = accumulator.Tensors("code/model.py")[0].tensor_proto.string_val[0].decode()
    assert source == '````py\n"""With ``` in it."""\n````'
    text = accumulator.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("```json\n")
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```")) == config
    content = accumulator.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    info = HParamsPluginData.FromString(content).session_start_info
    values = {key: getattr(value, value.WhichOneof("kind")) for key, value in info.hparams.items()}
    assert info.group_name == run.folder.name
    assert values == {
        "name": "resnet",
        "optimizer.type": "SGD",
        "optimizer.args.lr": 0.05,
        "optimizer.args.nesterov": True,
        "model.args.blocks": "[1, 2]",
        "metrics.0.type": "Accuracy",
    }


def test_a_changed_configuration_replaces_the_one_shown(run: Any) -> None:
    run.append(3)
    logger = _open(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    run.write("config.json", {"epochs": 20})
    for _ in range(2):
        logger.file(run.folder / "config.json", "config.json")
    (text,) = _read(run.folder).Tensors("config")
    assert b'"epochs": 20' in text.tensor_proto.string_val[0]
    assert _shown(run.folder) == _journalled(run.folder)


def _end(run: Any) -> list[str]:
    content = _read(run.folder).PluginTagToContent("hparams").get("_hparams_/session_end_info")
    return [str(HParamsPluginData.FromString(content).session_end_info)] if content else []


def test_the_end_of_a_run_is_shown_and_taken_back_when_it_goes_on(run: Any) -> None:
    run.append(3)
    logger = _open(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    logger.close("running")
    assert _end(run) == []
    logger.close("interrupted")
    assert "STATUS_FAILURE" in _end(run)[0]
    logger = _open(run, delivered=2)
    logger.close("interrupted")
    run.append(2)
    logger.log(list(read(run.folder / JOURNAL))[3:])
    assert _end(run) == []
    logger.close("completed")
    assert "STATUS_SUCCESS" in _end(run)[0]
    assert _shown(run.folder) == _journalled(run.folder)


def test_pictures_histograms_matrices_texts_and_files_are_shown(run: Any) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    Image.fromarray(pixels).save(run.folder / "media" / "digits.png")
    run.write("media/weights.json", {"conv": {"edges": [-1.0, 0.0, 1.0, 3.0], "counts": [2, 0, 4]}})
    run.write("media/confusion.json", {"values": [[3, 1], [0, 4]], "labels": ["cat", "dog"]})
    (run.folder / "media" / "answers.txt").write_text("# Größe\n42")
    (run.folder / "media" / "samples.csv").write_text("a,b")
    media = {
        "answers": {"kind": "text", "path": "media/answers.txt"},
        "samples": {"kind": "file", "path": "media/samples.csv"},
        "digits": {"kind": "image", "path": "media/digits.png"},
        "weights": {"kind": "histograms", "path": "media/weights.json"},
        "confusion": {"kind": "matrix", "path": "media/confusion.json"},
    }
    run.journal.append(phase="validation", epoch=0, step=4, samples=1, values={"loss": 1.0}, media=media)
    _open(run).log(list(read(run.folder / JOURNAL)))
    accumulator = _read(run.folder)
    assert set(accumulator.PluginTagToContent("text")) == {"validation/answers", "validation/samples"}
    (text,) = accumulator.Tensors("validation/answers")
    assert (text.step, text.tensor_proto.string_val[0].decode()) == (4, "# Größe\n42")
    (link,) = accumulator.Tensors("validation/samples")
    assert link.tensor_proto.string_val[0] == b"`media/samples.csv`, 3 bytes, in the run folder"
    assert set(accumulator.Tags()["images"]) == {"validation/digits", "validation/confusion"}
    (picture,) = accumulator.Images("validation/digits")
    assert (picture.step, picture.width, picture.height) == (4, 5, 4)
    assert picture.encoded_image_string == (run.folder / "media" / "digits.png").read_bytes()
    (histogram,) = accumulator.Histograms("validation/weights/conv")
    value = histogram.histogram_value
    assert (value.min, value.max, value.num, value.sum) == (-1.0, 3.0, 6, 7.0)
    assert (list(value.bucket_limit), list(value.bucket)) == ([0.0, 1.0, 3.0], [2, 0, 4])
    assert _shown(run.folder) == _journalled(run.folder)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image", None),
        ("image", "text"),
        ("matrix", "{}"),
        ("histograms", "["),
        ("text", None),
        ("file", None),
        ("sound", "x"),
    ],
)
def test_a_medium_that_cannot_be_shown_is_said_and_holds_up_no_number(
    run: Any, caplog: pytest.LogCaptureFixture, kind: str, content: str | None
) -> None:
    if content is not None:
        (run.folder / "media" / "bad").write_text(content)
    media = {"bad": {"kind": kind, "path": "media/bad"}}
    run.journal.append(phase="test", epoch=0, step=4, samples=1, values={"loss": 1.0}, media=media)
    with caplog.at_level(logging.WARNING):
        _open(run).log(list(read(run.folder / JOURNAL)))
    assert "no picture for test/bad" in caplog.text
    assert _shown(run.folder) == _journalled(run.folder)


def test_what_the_machine_used_is_shown_by_the_seconds_of_the_run(run: Any) -> None:
    run.append(3)
    samples = _measure_machine(run, 5)
    logger = _open(run)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples[:2])
    logger.system(samples[2:])
    assert _shown(run.folder) == sorted(_journalled(run.folder) + _sampled(run.folder))
    assert ("system/machine/cores/1", 3, CREATED + 3.5, "3.0") in _shown(run.folder)


@pytest.mark.parametrize(("delivered", "sampled"), [(4, 2), (9, 2), (4, 5), (9, 5)])
def test_samples_and_records_are_there_once_wherever_a_kill_came(run: Any, delivered: int, sampled: int) -> None:
    run.append(10)
    records = list(read(run.folder / JOURNAL))
    samples = _measure_machine(run, 6)
    logger = _open(run)
    for index in (0, 5):
        logger.log(records[index : index + 5])
        logger.system(samples[index // 5 * 3 : index // 5 * 3 + 3])
    again = _open(run, delivered, samples[sampled].id)
    for part in (records[delivered + 1 :], records[8:]):
        if part:
            again.log(part)
    for rest in (samples[sampled + 1 :], samples):
        again.system(rest)
    assert _shown(run.folder) == sorted(_journalled(run.folder) + _sampled(run.folder))


def test_a_cut_of_the_journal_and_a_changed_file_keep_the_samples(run: Any) -> None:
    run.append(5)
    offset = run.journal.offset
    run.append(5)
    samples = _measure_machine(run, 4)
    logger = _open(run)
    logger.file(run.folder / "config.json", "config.json")
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples)
    logger.close("interrupted")
    cut(run.folder, offset, 5)
    logger = _open(run, 4, samples[-1].id)
    run.write("config.json", {"epochs": 3})
    logger.file(run.folder / "config.json", "config.json")
    assert _shown(run.folder) == sorted(_journalled(run.folder) + _sampled(run.folder))


def test_what_the_machine_used_can_be_left_out(run: Any) -> None:
    run.append(3)
    samples = _measure_machine(run, 2)
    logger = _open(run, system=False)
    logger.log(list(read(run.folder / JOURNAL)))
    logger.system(samples)
    (before,) = _files(run.folder)
    _open(run, 2, samples[-1].id, system=False)
    assert _files(run.folder) == [before]
    assert _shown(run.folder) == _journalled(run.folder)
    _open(run, 2, samples[-1].id)
    assert _shown(run.folder) == sorted(_journalled(run.folder) + _sampled(run.folder))


def test_a_measurement_of_several_phases_has_a_chart_of_them_together(run: Any) -> None:
    run.write("measurements.json", {"train/loss": {}, "validation/loss": {}, "test/f1/0": {}, "train/rate": {}})
    logger = _open(run)
    logger.file(run.folder / "measurements.json", "measurements.json")
    (layout,) = _read(run.folder).Tensors("custom_scalars__config__")
    (category,) = Layout.FromString(layout.tensor_proto.string_val[0]).category
    ((title, tags),) = [(chart.title, list(chart.multiline.tag)) for chart in category.chart]
    assert (title, tags) == ("loss", ["^train/loss$", "^validation/loss$"])


def test_of_a_long_log_the_end_is_shown_and_what_is_no_text_is_said(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    (run.folder / "output.log").write_text("first\n" + "epoch\n" * 50_000 + "last\n")
    (run.folder / "code").mkdir()
    (run.folder / "code" / "logo.bin").write_bytes(b"\xff\xfe\x00")
    logger = _open(run)
    for name in ("output.log", "code/logo.bin"):
        logger.file(run.folder / name, name)
    (shown,) = _read(run.folder).Tensors("output")
    content = shown.tensor_proto.string_val[0].decode()
    assert content.startswith("100011 bytes are left out\n\n```log\n")
    assert content.endswith("epoch\nlast\n```")
    assert "code/logo.bin is not shown" in caplog.text
