"""A real run on the digits as TensorBoard's own server shows it."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import torch

import assay
from assay.logger.courier.backlog import backlogs
from assay.store.journal import read
from assay.store.samples import SYSTEM, read_samples
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult
from event_files import read_events, shown
from servers import Server, free_port

Scalar = tuple[str, int, float, str]


class Showing(DefaultTrainer):
    """Attaches a text and a picture to every validation and test."""

    def evaluate_step(self, batch: Any) -> StepResult:
        self.attach("remark", f"after **{self.progress.step}** updates")
        self.attach("first", batch[0][0])
        return super().evaluate_step(batch)


def _get(port: int, path: str, **query: str) -> Any:
    address = f"http://127.0.0.1:{port}/data/{path}" + (f"?{urlencode(query)}" if query else "")
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.loads(answer.read())


def _scalars(port: int, run: str) -> list[Scalar]:
    return sorted(
        (tag, step, moment, str(np.float32(value)))
        for tag in _get(port, "plugin/scalars/tags").get(run, ())
        for moment, step, value in _get(port, "plugin/scalars/scalars", run=run, tag=tag)
    )


def _server(saved: Path, folder: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(saved), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--load_fast", "false", "--reload_interval", "1"]
    command += ["--samples_per_plugin", "scalars=100000,images=100,text=100"]

    def answers(port: int) -> None:
        assert _get(port, "runs"), "it has not read the event file yet"

    return Server(command, port, answers, folder / "tensorboard.log", {"PYTHONWARNINGS": "ignore"})


def _measured(run: Any) -> list[Scalar]:
    """What journal and samples hold, as TensorBoard keeps it: in float32."""
    records = [
        (tag, record.step, record.time, str(np.float32(value)))
        for record in read(run.folder.journal)
        for tag, value in record.scalars()
    ]
    samples, second = [], -1
    for sample in read_samples(run.path / SYSTEM):
        if not sample.training:
            second = max(second + 1, int(sample.time - run.status["created"]))
        step = sample.training.get("step", second)
        samples += [(tag, step, sample.time, str(np.float32(value))) for tag, value in sample.scalars()]
    return sorted(records + samples)


def test_tensorboards_server_and_reader_show_every_measurement_of_a_run_once(
    project: Path, tmp_path: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    config = tiny(
        {
            "metrics": ["Accuracy", "ConfusionMatrix"],
            "loggers": [{"type": "TensorBoardLogger", "args": {"system": True}}],
            "logging": {"every": "1ba", "images": 4, "histograms": True, "system": "1s"},
        }
    )
    run = assay.train(config, trainer={"type": Showing, "args": {"epochs": 3}}, quiet=True)
    assert not any(str(backlog) for backlog in backlogs(run.path).values())
    expected = _measured(run)
    assert len({(tag, step) for tag, step, _, _ in expected if not tag.startswith("system/")}) > 100
    assert {tag.split("/")[1] for tag, *_ in expected if tag.startswith("system/")} == {"machine", "run", "training"}
    assert len({(tag, step) for tag, step, *_ in expected}) == len(expected)
    assert shown(run.path) == expected
    server = _server(Path("saved"), tmp_path)
    try:
        port = server.start().port
        (name,) = _get(port, "runs")
        assert name == f"{run.path.relative_to('saved')}/tensorboard"
        until = time.monotonic() + 30
        while len(seen := _scalars(port, name)) < len(expected) and time.monotonic() < until:
            time.sleep(0.1)  # it reads the file beside answering
        assert seen == expected
        images = _get(port, "plugin/images/tags")[name]
        assert {"train/inputs", "validation/first", "test/first", "validation/confusion_matrix"} <= set(images)
        assert all(_get(port, "plugin/images/images", run=name, tag=tag, sample="0") for tag in images)
        histograms = _get(port, "plugin/histograms/tags")[name]
        weights = {f"train/weights/{weight}" for weight in torch.load(run.folder.checkpoints / "last" / "model.pt")}
        assert weights <= set(histograms)
        texts = _get(port, "plugin/text/tags")[name]
        assert {"config", "transforms", "environment", "output", "validation/remark", "test/remark"} <= set(texts)
        remarks = _get(port, "plugin/text/text", run=name, tag="validation/remark")
        steps = [record.step for record in read(run.folder.journal) if record.phase == "validation"]
        assert [remark["step"] for remark in remarks] == steps
        assert remarks[0]["text"] == f"<p>after <strong>{steps[0]}</strong> updates</p>"
        (category,) = _get(port, "plugin/custom_scalars/layout")["category"]
        assert {"loss", "accuracy"} <= {chart["title"] for chart in category["chart"]}
    finally:
        server.kill()
    assert "_hparams_/session_end_info" in read_events(run.path).PluginTagToContent("hparams")
