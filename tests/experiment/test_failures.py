"""What a user sees when a part of the run raises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import assay
from assay.errors import AssayError, ConfigError, MemoryExhaustedError

Tiny = Callable[..., dict[str, Any]]

NETS = """
import torch
from torch import nn

class Wrong(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(65, num_classes))
    def forward(self, x):
        return self.body(x)

class Late(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        return self.body(x if self.calls < 6 else x[:, :, :7])

class Unbuilt(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(-1, 2)

class Lazy(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Linear(8, num_classes))

class Raising(nn.Module):
    def __init__(self, kind, num_classes):
        super().__init__()
        self.kind = kind
        self.head = nn.Linear(64, num_classes)
    def forward(self, x):
        if self.kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        raise KeyError("lost")
"""


def failed(project: Path, config: dict[str, Any]) -> AssayError:
    (project / "wrong_nets.py").write_text(NETS)
    with pytest.raises(AssayError) as caught:
        assay.train(config, quiet=True)
    return caught.value


def test_a_shape_that_does_not_fit_names_the_layer_and_leaves_no_folder(project: Path, tiny: Tiny) -> None:
    error = failed(project, tiny({"model": "wrong_nets:Wrong"}))
    assert isinstance(error, ConfigError)
    assert "does not fit layer 'body.1', Linear(in_features=65" in str(error)
    assert not (project / "saved").exists()


def test_without_the_preflight_a_shape_is_found_by_the_first_step(project: Path, tiny: Tiny) -> None:
    (project / "wrong_nets.py").write_text(NETS)
    with pytest.raises(ConfigError, match=r"the run stopped in layer 'body\.1' of Wrong"):
        assay.train(tiny({"model": "wrong_nets:Wrong"}), preflight=False, quiet=True)


def test_a_shape_that_stops_fitting_during_the_run_names_the_layer(project: Path, tiny: Tiny) -> None:
    error = failed(project, tiny({"model": "wrong_nets:Late"}))
    assert isinstance(error, ConfigError)
    assert "in layer 'body.1' of Late" in str(error)
    run = assay.open("last")
    assert run.status["state"] == "failed"
    assert "Traceback" in (run.path / "crash.txt").read_text()


def test_a_constructor_that_raises_is_a_mistake_with_its_line_and_leaves_no_folder(project: Path, tiny: Tiny) -> None:
    error = failed(project, tiny({"model": "wrong_nets:Unbuilt"}))
    assert error.exit_code == 2
    assert "RuntimeError" in str(error)
    assert not (project / "saved").exists()


def test_lazy_layers_get_their_shapes_from_the_data(project: Path, tiny: Tiny) -> None:
    (project / "wrong_nets.py").write_text(NETS)
    run = assay.train(tiny({"model": "wrong_nets:Lazy"}), quiet=True)
    assert run.test()["test/accuracy"] == run.best["test/accuracy"]


def test_an_exception_of_the_model_is_not_called_a_bug_of_assay(project: Path, tiny: Tiny) -> None:
    error = failed(project, tiny({"model": {"type": "wrong_nets:Raising", "args": {"kind": "key"}}}))
    assert error.exit_code == 2
    assert "KeyError: 'lost'" in str(error)
    assert "wrong_nets.py:" in str(error)


def test_a_device_out_of_memory_is_exit_8_with_advice_that_keeps_the_update(project: Path, tiny: Tiny) -> None:
    error = failed(project, tiny({"model": {"type": "wrong_nets:Raising", "args": {"kind": "memory"}}}))
    assert isinstance(error, MemoryExhaustedError)
    assert error.exit_code == 8
    assert "accumulate" in error.hint


def test_after_a_failure_the_same_process_can_train_again(project: Path, tiny: Tiny) -> None:
    failed(project, tiny({"model": "wrong_nets:Wrong"}))
    assert assay.train(tiny(), quiet=True).status["state"] == "completed"
    assert torch.is_grad_enabled()
