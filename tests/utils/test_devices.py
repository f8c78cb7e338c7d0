from __future__ import annotations

import pytest
import torch
from torch import nn

from assay.errors import ConfigError
from assay.model.architectures.resnet import ResNet
from assay.utils.devices import choose_device, choose_memory_format, seed_generators, set_arithmetic


def test_a_device_that_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match=r"'cuda:77' is asked for and is not there"):
        choose_device("cuda:77")
    assert choose_device("cpu").type == "cpu"


def test_the_memory_format_follows_a_fixed_rule() -> None:
    wide, narrow = ResNet(10, width=32, blocks=[1]), ResNet(10, width=16, blocks=[1])
    assert choose_memory_format("auto", wide) is torch.channels_last
    assert choose_memory_format("auto", narrow) is torch.contiguous_format
    assert choose_memory_format("contiguous", wide) is torch.contiguous_format
    # Of others nobody knows whether they flatten by view(), which refuses channels_last.
    assert choose_memory_format("auto", nn.Sequential(nn.Conv2d(64, 64, 3))) is torch.contiguous_format
    assert choose_memory_format("channels_last", narrow) is torch.channels_last


def test_seeding_the_generators_is_seeding_torch() -> None:
    seed_generators(2**40 + 7, torch.device("cpu"))
    first = torch.rand(4)
    torch.manual_seed(2**40 + 7)
    assert torch.equal(first, torch.rand(4))


def test_deterministic_algorithms_are_set_and_unset() -> None:
    before = torch.get_num_threads()
    set_arithmetic(None, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert set_arithmetic(1, deterministic=False) == 1
    assert not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(before)
