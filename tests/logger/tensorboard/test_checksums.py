from __future__ import annotations

import random

import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from assay.logger.tensorboard.checksums import masked


@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 300])
def test_checksums_of_many_records_are_those_that_tensorboard_reckons_of_each(number: int) -> None:
    source = random.Random(number)
    messages = [source.randbytes(source.choice([0, 1, 7, 40, 229, 229, 230, 4096, 5000])) for _ in range(number)]
    assert masked(messages) == [masked_crc32c(message) for message in messages]


def test_messages_of_one_length_have_checksums_of_their_own() -> None:
    messages = [bytes([index]) * 64 for index in range(64)]
    assert masked(messages) == [masked_crc32c(message) for message in messages]
    assert len(set(masked(messages))) == 64
