from __future__ import annotations

import pytest

from assay.data.datasets.base import DatasetInfo

from ..examples import Numbered


def test_images_have_channels_and_other_inputs_have_none() -> None:
    assert DatasetInfo(shape=(3, 8, 8)).in_channels == 3
    assert DatasetInfo(shape=(64,)).in_channels is None


def test_a_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="train, validation, test, not 'training'"):
        Numbered("training")
