"""Imported once by the server of forks of `killing`: a training, so that no fork has to import what it needs."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
import torch.distributed.fsdp

import keeping  # noqa: F401
import resumed  # noqa: F401 - what the tests train
import unusual  # noqa: F401
from killing import train
from tasks import config

torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    train(config(), Path(folder), allow=["tasks"])
