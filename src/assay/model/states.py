"""Loading the state of a module that has buffers which are made only while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from assay.utils.sharded import is_sharded, sharded_like

__all__ = ["load_module", "make_buffers"]


def load_module(module: nn.Module, state: Mapping[str, Any]) -> None:
    """`load_state_dict`, after `make_buffers`.

    Raises:
        RuntimeError: the state is that of another module.
    """
    make_buffers(module, state)
    own = module.state_dict(keep_vars=True)
    if any(map(is_sharded, own.values())):
        state = {key: sharded_like(value, own.get(key)) for key, value in state.items()}
    module.load_state_dict(state)


def make_buffers(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Make the buffers that are not there yet as they were saved: one that is None, that the first batch registers, or
    that has got another shape since.
    """
    parts = dict(module.named_modules())
    for key, value in state.items():
        path, _, name = key.rpartition(".")
        part = parts.get(path)
        if not isinstance(value, Tensor) or part is None or name in part._parameters or name in part._modules:
            continue
        if type(part).__module__.startswith("torch."):  # torch's own layers do no such thing: it is another model
            continue
        there = part._buffers.get(name)
        if there is None or there.shape != value.shape:
            like = there if there is not None else next(module.parameters(), value)
            fresh = torch.empty_like(value, device=like.device)
            if name in part._buffers:
                part._buffers[name] = fresh
            elif not hasattr(part, name):
                part.register_buffer(name, fresh)
