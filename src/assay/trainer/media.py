"""Pictures, histograms and matrices, reduced here to small files in `media/`: the courier has no tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.utils.atomic import write_json

__all__ = ["shown_tensors", "write_histograms", "write_images", "write_matrix", "write_pictures"]

_BINS = 64


def write_images(folder: Path, name: str, step: int, images: Tensor, limit: int) -> dict[str, Any]:
    """The first `limit` of images (B, C, H, W) as one PNG grid, each picture stretched to the full range."""
    shown = images[:limit].detach().float().cpu()
    if shown.shape[1] not in (1, 3):
        shown = shown[:, :1]
    return _grid(folder / f"{name}-{step:08d}.png", shown, stretch=True)


def write_pictures(path: Path, pictures: Tensor, limit: int = 64) -> dict[str, Any]:
    """A picture (H, W) or (C, H, W), or the first `limit` of several (B, C, H, W), as one PNG.

    Bytes, and floats from 0 to 1, are shown as they are; each picture of other floats is stretched to the full range.

    Raises:
        ValueError: it has another shape.
    """
    shape = tuple(pictures.shape)
    if pictures.ndim == 2:
        pictures = pictures[None]
    if pictures.ndim == 3:
        pictures = pictures[None]
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or not pictures.numel():
        raise ValueError(
            f"a tensor of shape {shape} is no picture: expected (H, W), (C, H, W) or (B, C, H, W), C 1 or 3"
        )
    shown = pictures[:limit].cpu()
    if shown.dtype == torch.uint8:
        return _grid(path, shown.float() / 255, stretch=False)
    shown = torch.nan_to_num(shown.float())
    return _grid(path, shown, stretch=bool(shown.min() < 0 or shown.max() > 1))


def _grid(path: Path, pictures: Tensor, stretch: bool) -> dict[str, Any]:
    from torchvision.utils import make_grid, save_image  # a second, for those who keep images

    save_image(make_grid(pictures, nrow=8, padding=1, normalize=stretch, scale_each=stretch), path)
    return {"kind": "image", "path": f"media/{path.name}"}


def shown_tensors(model: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """Kind, name and tensor of what histograms show, in order."""
    named = list(model.named_parameters())
    yield from (("weights", name, parameter) for name, parameter in named)
    yield from (("gradients", name, p.grad) for name, p in named if p.grad is not None)


def write_histograms(
    folder: Path, step: int, model: nn.Module, whole: Callable[[Tensor], Tensor] = Tensor.detach
) -> dict[str, Any]:
    """Of every parameter and of its gradient, 64 bins from the least to the greatest finite value; a file of each.

    Args:
        whole: makes one of a tensor that is spread over processes.
    """
    counted: dict[str, dict[str, Any]] = {"weights": {}, "gradients": {}}
    for kind, name, tensor in shown_tensors(model):
        counted[kind][name] = _histogram(whole(tensor))
    media = {}
    for kind, found in counted.items():
        path = folder / f"{kind}-{step:08d}.json"
        write_json(path, {name: histogram for name, histogram in found.items() if histogram})
        media[kind] = {"kind": "histograms", "path": f"media/{path.name}"}
    return media


def _histogram(tensor: Tensor) -> dict[str, list[float]] | None:
    values = tensor.detach().float().cpu().flatten()
    values = values[torch.isfinite(values)]
    if not values.numel():
        return None
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = torch.histogram(values, _BINS, range=(low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def write_matrix(folder: Path, name: str, step: int, matrix: Tensor, labels: tuple[str, ...]) -> dict[str, Any]:
    """A matrix (K, K), such as a confusion matrix: rows are true classes, columns are predicted ones."""
    path = folder / f"{name.replace('/', '-')}-{step:08d}.json"
    write_json(path, {"values": matrix.detach().cpu().tolist(), "labels": list(labels)})
    return {"kind": "matrix", "path": f"media/{path.name}"}
