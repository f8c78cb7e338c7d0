from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from assay.trainer.media import write_histograms, write_images, write_matrix
from assay.utils.atomic import read_json


def test_histograms_hold_every_finite_weight_and_gradient(tmp_path: Path) -> None:
    model = nn.Linear(30, 20)
    model(torch.randn(4, 30)).square().sum().backward()
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
        model.bias.fill_(0.25)
    media = write_histograms(tmp_path, 7, model)
    assert {name: medium["path"] for name, medium in media.items()} == {
        "weights": "media/weights-00000007.json",
        "gradients": "media/gradients-00000007.json",
    }
    weights, gradients = (read_json(tmp_path / f"{name}-00000007.json") for name in ("weights", "gradients"))
    assert {name: sum(histogram["counts"]) for name, histogram in weights.items()} == {"weight": 599, "bias": 20}
    assert sum(gradients["weight"]["counts"]) == 600
    finite = model.weight.detach().numpy()[np.isfinite(model.weight.detach().numpy())]
    counts, _ = np.histogram(finite, weights["weight"]["edges"])
    assert weights["weight"]["counts"] == counts.tolist()


def test_images_are_a_grid_of_the_first_ones(tmp_path: Path) -> None:
    medium = write_images(tmp_path, "train-inputs", 3, torch.rand(20, 3, 8, 8), limit=10)
    with Image.open(tmp_path / Path(medium["path"]).name) as picture:
        assert picture.size == (8 * 9 + 1, 2 * 9 + 1)


def test_a_matrix_keeps_its_whole_numbers_and_labels(tmp_path: Path) -> None:
    medium = write_matrix(tmp_path, "test-confusion/by_class", 3, torch.tensor([[3, 0], [1, 2]]), ("cat", "dog"))
    content = read_json(tmp_path / Path(medium["path"]).name)
    assert content == {"values": [[3, 0], [1, 2]], "labels": ["cat", "dog"]}
