from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from assay.store.journal import JOURNAL, read
from event_files import journalled, open_logger, read_events, shown


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run("TensorBoardLogger")


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
    logger = open_logger(run)
    for name in ("config.json", "transforms.json", "environment.json", "code/model.py"):
        if (run.folder / name).exists():
            logger.file(run.folder / name, name)
    accumulator = read_events(run.folder)
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
    open_logger(run).log(list(read(run.folder / JOURNAL)))
    accumulator = read_events(run.folder)
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
    assert shown(run.folder) == journalled(run.folder)


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
        open_logger(run).log(list(read(run.folder / JOURNAL)))
    assert "no picture for test/bad" in caplog.text
    assert shown(run.folder) == journalled(run.folder)


def test_a_measurement_of_several_phases_has_a_chart_of_them_together(run: Any) -> None:
    run.write("measurements.json", {"train/loss": {}, "validation/loss": {}, "test/f1/0": {}, "train/rate": {}})
    logger = open_logger(run)
    logger.file(run.folder / "measurements.json", "measurements.json")
    (layout,) = read_events(run.folder).Tensors("custom_scalars__config__")
    (category,) = Layout.FromString(layout.tensor_proto.string_val[0]).category
    ((title, tags),) = [(chart.title, list(chart.multiline.tag)) for chart in category.chart]
    assert (title, tags) == ("loss", ["^train/loss$", "^validation/loss$"])


def test_of_a_long_log_the_end_is_shown_and_what_is_no_text_is_said(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    (run.folder / "output.log").write_text("first\n" + "epoch\n" * 50_000 + "last\n")
    (run.folder / "code").mkdir()
    (run.folder / "code" / "logo.bin").write_bytes(b"\xff\xfe\x00")
    logger = open_logger(run)
    for name in ("output.log", "code/logo.bin"):
        logger.file(run.folder / name, name)
    (shown,) = read_events(run.folder).Tensors("output")
    content = shown.tensor_proto.string_val[0].decode()
    assert content.startswith("100011 bytes are left out\n\n```log\n")
    assert content.endswith("epoch\nlast\n```")
    assert "code/logo.bin is not shown" in caplog.text
