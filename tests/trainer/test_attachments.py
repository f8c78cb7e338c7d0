from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import assay
from assay.errors import Interrupted
from assay.model.metrics.base import BaseMetric
from assay.store.journal import read
from assay.trainer.attachments import Attachments, write_content
from assay.trainer.default import DefaultTrainer


def _pixels(folder: Path, entry: dict[str, Any]) -> Any:
    with Image.open(folder / Path(entry["path"]).name) as picture:
        return np.asarray(picture)


def test_a_text_is_kept_as_it_is(tmp_path: Path) -> None:
    entry = write_content(tmp_path, "train-notes/first", 7, "Größe\r\n| a |\ud800")
    assert entry == {"kind": "text", "path": "media/train-notes-first-00000007.txt"}
    assert (tmp_path / "train-notes-first-00000007.txt").read_bytes() == "Größe\r\n| a |?".encode()


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (3, 4, 6), (1, 3, 4, 6)])
def test_a_picture_of_bytes_is_shown_as_it_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    content = torch.arange(3 * 4 * 6, dtype=torch.uint8).flatten()[: np.prod(shape)].reshape(shape)
    entry = write_content(tmp_path, "picture", 1, content)
    assert entry == {"kind": "image", "path": "media/picture-00000001.png"}
    shown = _pixels(tmp_path, entry)
    planes = content.reshape(-1, 4, 6).expand(3, 4, 6).numpy()
    inside = shown if shown.shape[:2] == (4, 6) else shown[1:5, 1:7]
    assert (inside.transpose(2, 0, 1) == planes).all()


def test_floats_from_0_to_1_are_kept_and_others_stretched(tmp_path: Path) -> None:
    kept = _pixels(tmp_path, write_content(tmp_path, "kept", 1, np.full((4, 4), 0.5)))
    assert {127, 128} >= set(kept.flatten().tolist())
    wide = torch.tensor([[-3.0, 5.0], [1.0, torch.nan]])
    stretched = _pixels(tmp_path, write_content(tmp_path, "wide", 1, wide))
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_several_pictures_are_one_grid(tmp_path: Path) -> None:
    entry = write_content(tmp_path, "many", 1, torch.rand(20, 3, 8, 8))
    assert _pixels(tmp_path, entry).shape == (3 * 9 + 1, 8 * 9 + 1, 3)


def test_of_a_file_a_copy_is_kept(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for name, kind in (("table.csv", "file"), ("plot.PNG", "image"), ("bare", "file")):
        (tmp_path / name).write_bytes(b"content")
        entry = write_content(tmp_path / "media", "mine", 12, tmp_path / name)
        suffix = Path(name).suffix
        assert entry == {"kind": kind, "path": f"media/mine-00000012{suffix}"}
        (tmp_path / name).unlink()
        assert (tmp_path / entry["path"]).read_bytes() == b"content"


def test_a_figure_is_kept_as_a_picture(tmp_path: Path) -> None:
    class Figure:
        def savefig(self, path: Path, format: str) -> None:
            path.write_text(format)

    assert write_content(tmp_path, "figure", 3, Figure()) == {"kind": "image", "path": "media/figure-00000003.png"}
    assert (tmp_path / "figure-00000003.png").read_text() == "png"


@pytest.mark.parametrize("content", [torch.zeros(3), torch.zeros(2, 4, 4), torch.zeros(0, 3, 4, 4), torch.zeros(())])
def test_a_tensor_that_is_no_picture_is_refused(tmp_path: Path, content: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="is no picture: expected"):
        write_content(tmp_path, "odd", 1, content)


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a dict cannot be attached"):
        write_content(tmp_path, "odd", 1, {})
    for name in ("../up", "", "a b", "/root", "a//b"):
        with pytest.raises(ValueError, match="nothing can be attached as"):
            Attachments(tmp_path).add({}, name, 1, "text")


def test_without_a_run_nothing_is_kept() -> None:
    waiting: dict[str, Any] = {}
    Attachments().add(waiting, "../anything", 1, object())
    assert waiting == {}


class Noisy(DefaultTrainer):
    """Attaches in every step; may get a signal at one of them."""

    def __init__(self, parts: Any, *, stop_at: int = -1, **settings: Any) -> None:
        super().__init__(parts, **settings)
        self.stop_at = stop_at

    def train_step(self, batch: Any) -> Any:
        self.attach("step", f"train {self.progress.step}")
        if self.progress.step == 2:
            self.attach("once", "only in the first epoch")
        if self.progress.step == self.stop_at and type(batch[0]) is torch.Tensor:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().train_step(batch)

    def evaluate_step(self, batch: Any) -> Any:
        self.attach("step", f"evaluation {self.progress.step}")
        return super().evaluate_step(batch)


class Told(BaseMetric):
    def forward(self, output: Any, target: Any) -> Any:
        return (output.argmax(1) == target).float()

    def media(self) -> dict[str, str]:
        return {"text": "of the metric"}


def _noisy(**args: Any) -> dict[str, Any]:
    return {"type": Noisy, "args": args}


def _texts(run: Any) -> list[tuple[str, int, dict[str, str]]]:
    return [
        (
            record.phase,
            record.step,
            {name: (run.path / entry["path"]).read_text() for name, entry in record.media.items()},
        )
        for record in read(run.folder.journal)
    ]


Tiny = Callable[..., dict[str, Any]]


def test_what_is_attached_is_in_the_next_record_of_its_phase(project: Path, tiny: Tiny) -> None:
    config = tiny({"validation.every": "3ba", "metrics": [Told]})
    run = assay.train(config, trainer=_noisy(epochs=2), quiet=True)
    records = _texts(run)
    last = max(step for _, step, _ in records)
    epoch = last // 2
    train = [(step, texts) for phase, step, texts in records if phase == "train"]
    mine = {"told/text": "of the metric"}
    assert train == [
        (epoch, {"step": f"train {epoch - 1}", "once": "only in the first epoch", **mine}),
        (last, {"step": f"train {last - 1}", **mine}),
    ]
    validations = [(step, texts) for phase, step, texts in records if phase == "validation"]
    assert validations == [(step, {"step": f"evaluation {step}", **mine}) for step, _ in validations]
    assert len(validations) > 2


def test_a_window_of_steps_has_what_was_attached_in_it(project: Path, tiny: Tiny) -> None:
    run = assay.train(tiny({"logging.every": "2ba"}), trainer=_noisy(epochs=1), quiet=True)
    windows = [(step, texts) for phase, step, texts in _texts(run) if phase == "batch"]
    assert windows[0] == (2, {"step": "train 1"})
    assert windows[1] == (4, {"step": "train 3", "once": "only in the first epoch"})


def test_what_waits_is_recorded_after_a_resume_as_if_there_had_been_none(project: Path, tiny: Tiny) -> None:
    whole = assay.train(tiny(), trainer=_noisy(epochs=2), quiet=True)
    with pytest.raises(Interrupted):
        assay.train(tiny(), trainer=_noisy(epochs=2, stop_at=4), quiet=True)
    resumed = assay.train(tiny(), resume="last", trainer=_noisy(epochs=2), allow_change=["trainer"], quiet=True)
    assert _texts(resumed) == _texts(whole)
