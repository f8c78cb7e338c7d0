"""The block of fully connected networks."""

from __future__ import annotations

from torch import nn

__all__ = ["DenseBlock"]


class DenseBlock(nn.Sequential):
    """Linear layer, ReLU, and dropout where there is any: (B, in_features) -> (B, out_features)."""

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.0) -> None:
        layers: list[nn.Module] = [nn.Linear(in_features, out_features), nn.ReLU(inplace=True)]
        super().__init__(*layers, *([nn.Dropout(dropout)] if dropout else []))
