from __future__ import annotations

import torch
from torch import nn

from assay.model.blocks.conv import ConvBlock
from assay.model.blocks.dense import DenseBlock


def test_a_conv_block_convolves_rectifies_and_halves():
    block = ConvBlock(3, 5, kernel_size=3, padding=1)
    out = block(torch.randn(2, 3, 8, 10))
    assert out.shape == (2, 5, 4, 5)
    assert out.min() >= 0


def test_a_dense_block_drops_out_in_training_only():
    block = DenseBlock(4, 1000, dropout=0.5)
    nn.init.constant_(block[0].bias, 1.0)
    nn.init.zeros_(block[0].weight)
    assert 300 < (block(torch.randn(1, 4)) == 0).sum() < 700
    assert (block.eval()(torch.randn(1, 4)) == 1).all()


def test_a_dense_block_without_dropout_holds_none():
    assert not any(isinstance(module, nn.Dropout) for module in DenseBlock(4, 4).modules())
