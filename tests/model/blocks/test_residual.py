from __future__ import annotations

import pytest
import torch

from assay.model.blocks.basic import BasicBlock
from assay.model.blocks.bottleneck import Bottleneck
from assay.model.blocks.shortcut import projection


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_has_the_shape_that_its_docstring_says(block, stride):
    x = torch.randn(2, 8, 6, 6)
    assert block(8, 4, stride)(x).shape == (2, 4 * block.expansion, 6 // stride, 6 // stride)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_whose_branch_is_zero_is_its_shortcut(block):
    module = block(4 * block.expansion, 4)
    assert module.downsample is None
    last = module.bn2 if block is BasicBlock else module.bn3
    torch.nn.init.zeros_(last.weight)
    x = torch.rand(2, 4 * block.expansion, 5, 5)
    torch.testing.assert_close(module(x), x)


def test_the_bottleneck_strides_in_its_3x3_convolution():
    block = Bottleneck(8, 4, stride=2)
    assert block.conv1.stride == (1, 1)
    assert block.conv2.stride == (2, 2)


@pytest.mark.parametrize(("channels", "stride", "needed"), [(8, 1, False), (8, 2, True), (16, 1, True)])
def test_a_shortcut_is_projected_only_where_the_shape_changes(channels, stride, needed):
    assert (projection(8, channels, stride) is not None) is needed
