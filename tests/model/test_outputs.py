from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from assay.model.outputs import auxiliary_outputs, main_output

ONE, TWO, THREE = torch.ones(1), torch.ones(2), torch.ones(3)
GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])
InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])
Pair = namedtuple("Pair", ["mean", "aux"])


@pytest.mark.parametrize(
    ("output", "main", "auxiliary"),
    [
        (ONE, ONE, []),
        (GoogLeNetOutputs(ONE, TWO, THREE), ONE, [TWO, THREE]),
        (GoogLeNetOutputs(ONE, None, None), ONE, []),
        (InceptionOutputs(ONE, TWO), ONE, [TWO]),
        ({"out": ONE, "aux": TWO}, ONE, [TWO]),
        ({"aux": TWO, "out": ONE}, ONE, [TWO]),
        ({"logits": ONE, "hidden_states": TWO, "aux_loss": THREE}, ONE, []),
    ],
)
def test_heads_are_told_apart_by_name(output, main, auxiliary):
    assert main_output(output) is main
    found = auxiliary_outputs(output)
    assert len(found) == len(auxiliary)
    assert all(one is other for one, other in zip(found, auxiliary, strict=True))


@pytest.mark.parametrize("output", [(ONE, TWO), [ONE, TWO], {"boxes": ONE, "aux": TWO}, Pair(ONE, TWO)])
def test_an_output_without_a_main_field_stays_whole(output):
    assert main_output(output) is output
    assert auxiliary_outputs(output) == []
