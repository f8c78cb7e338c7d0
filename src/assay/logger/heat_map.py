"""A matrix as a picture, for trackers that only show pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

__all__ = ["heat_map"]

_SIDE = 480
_READABLE = 24  # pixels of a cell that text fits into


def heat_map(values: Sequence[Sequence[float]], labels: Sequence[str] = ()) -> bytes:
    """A matrix (K, L) as a PNG: a row goes from white (0) to blue (all of it); numbers where they fit."""
    from PIL import Image, ImageDraw

    rows, columns = len(values), max([1, *map(len, values)])
    cell = max(1, _SIDE // max(rows, columns, 1))
    readable = cell >= _READABLE
    margin = 8 * max((len(str(label)) for label in labels), default=0) + 8 if readable and labels else 0
    picture = Image.new("RGB", (margin + cell * columns, margin + cell * max(rows, 1)), "white")
    draw = ImageDraw.Draw(picture)
    for i, row in enumerate(values):
        total = sum(row) or 1
        for j, value in enumerate(row):
            share = min(max(value / total, 0.0), 1.0)
            left, top = margin + j * cell, margin + i * cell
            colour = (round(255 - 222 * share), round(255 - 153 * share), round(255 - 83 * share))
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=colour)
            if readable:
                ink = "white" if share > 0.5 else "black"
                draw.text((left + cell / 2, top + cell / 2), f"{value:g}", fill=ink, anchor="mm")
    for i, label in enumerate(labels if margin else ()):
        draw.text((margin - 4, margin + (i + 0.5) * cell), str(label), fill="black", anchor="rm")
        draw.text((margin + (i + 0.5) * cell, margin - 4), str(label), fill="black", anchor="mb")
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
