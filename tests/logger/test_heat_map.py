from __future__ import annotations

import io

import pytest
from PIL import Image

from assay.logger.heat_map import heat_map


def _picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_a_cell_is_the_bluer_the_more_of_its_row_it_has() -> None:
    size = 481  # too many cells for text
    values = [[0.0] * size for _ in range(size)]
    values[0][1], values[1][0], values[1][1] = 7.0, 1.0, 3.0
    picture = _picture(heat_map(values))
    assert picture.size == (size, size)
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((1, 0)) == (33, 102, 172)
    assert picture.getpixel((0, 1)) == (200, 217, 234)
    assert picture.getpixel((1, 1)) == (88, 140, 193)


def test_a_small_matrix_has_its_numbers_and_labels_written_in() -> None:
    plain = _picture(heat_map([[3, 1], [0, 4]]))
    labelled = _picture(heat_map([[3, 1], [0, 4]], ["cat", "dog"]))
    other = _picture(heat_map([[30, 10], [0, 4]]))
    assert plain.size == (480, 480)
    assert labelled.size == (512, 512)
    assert plain.tobytes() != other.tobytes()


@pytest.mark.parametrize("values", [[], [[]], [[0, 0], [0, 0]], [[-1, 2]]])
def test_odd_matrices_are_pictures_too(values: list[list[float]]) -> None:
    assert _picture(heat_map(values)).size[0] > 0
