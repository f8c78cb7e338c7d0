"""A step that cannot go on: it stops before the update, says where, is kept, and can be made again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from failing import CONFIG, PARTS, Bad, Data, Net, Trainer, failed, weights

import assay
from assay.errors import ConfigError, MemoryExhaustedError, NonFiniteError
from assay.experiment import replaying
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.guard import Flag

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def nothing_bad() -> Any:
    Bad.kind, Bad.step, Trainer.at = "", -1, -1
    yield
    Bad.kind = ""


@pytest.mark.parametrize("step", [0, 6, 12, 13, 25])
@pytest.mark.parametrize(
    ("kind", "message", "where"),
    [
        ("forward", "the loss is nan", "what is given to layer 'drop' (Dropout)"),
        ("layer", "the loss is nan", "the output of layer 'norm' (Norm)"),
        ("loss", "the loss is ", "the loss, of outputs that are finite"),
        ("gradient", "the gradient is not finite", "first.weight.grad"),
        ("rate", "the learning rate is nan", "parameter group 0"),
        ("weight", "the loss is ", "weight last.weight, "),
    ],
)
def test_what_is_not_finite_stops_the_run_before_the_update_and_is_named(
    project: Path, tiny: Tiny, kind: str, message: str, where: str, step: int
) -> None:
    error, run = failed(tiny(CONFIG), kind, step)
    assert isinstance(error, NonFiniteError)
    assert error.exit_code == 5
    assert error.message.startswith(message)
    assert f"at step {step} (epoch {step // 13}, batch {step % 13}); the update was not made" in error.message
    assert where in error.where
    assert error.found.startswith("samples ")
    assert f"assay replay {run.path}" in error.hint
    saved = Checkpoints(run.folder.checkpoints).all()
    assert f"the last checkpoint is {saved[-1].name}" in error.hint if saved else step < 4
    for folder in saved:
        assert all(torch.isfinite(tensor).all() for tensor in weights(folder).values() if tensor.is_floating_point())
    # The update was not made: but for what was planted, the weights are those after `step` updates.
    Bad.kind = ""
    whole = assay.train(tiny({**CONFIG, "trainer.args.max_steps": max(step, 1)}), quiet=True, preflight=False)
    if step and kind != "weight":
        kept = weights(run.path / "failed" / f"step-{step:08d}")
        for name, tensor in weights(whole.folder.checkpoints / "last").items():
            assert torch.equal(kept[name], tensor) or "running" in name or "tracked" in name


def test_an_update_that_overflows_is_found_by_the_next_loss_and_named(project: Path, tiny: Tiny) -> None:
    error, _ = failed(tiny({**CONFIG, "optimizer.args": {"lr": 1e38, "weight_decay": 1e4}}), "", -1)
    assert "the update was not made" in error.message
    assert ", by the update of step " in error.where
    assert "(samples " in error.where


def test_an_input_that_is_not_finite_names_the_samples(project: Path, tiny: Tiny) -> None:
    error, _ = failed(tiny({**CONFIG, "data.split.validation": 0}), "input", 7)
    assert error.message.startswith("the loss is nan")
    assert error.where == "first not finite: the input, in sample 7"


@pytest.mark.parametrize("micro", [1, 4])
def test_inside_a_window_of_micro_batches_too(project: Path, tiny: Tiny, micro: int) -> None:
    error, run = failed(tiny({**CONFIG, "trainer.args.accumulate": micro}), "gradient", 6)
    assert "at step 6" in error.message
    assert run.replay().error is not None


@pytest.mark.parametrize("kind", ["forward", "gradient", "rate", "weight", "lost", "memory", "backward memory"])
def test_a_step_that_failed_is_made_again_and_fails_as_it_did(project: Path, tiny: Tiny, kind: str) -> None:
    error, run = failed(tiny(CONFIG), kind, 6)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    again = run.replay()
    assert again.at.step == 6
    assert again.at.phase == "train"
    assert str(again.error).splitlines()[0] == again.before
    assert type(again.error) is type(error)
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    Bad.kind = ""
    if kind in ("rate", "weight"):  # these were in the state that the step began with
        return
    assert run.replay().error is None


def test_a_replay_shows_what_every_layer_gave(project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    from assay.cli.replaying import print_replayed

    _, run = failed(tiny(CONFIG), "forward", 6)
    shown = run.replay()
    assert [seen.name for seen in shown.passes][:3] == ["flat", "first", "norm"]
    print_replayed(shown)
    out = capsys.readouterr().out
    assert "train: step 6, epoch 0, batch 6, samples " in out
    (marked,) = [line for line in out.splitlines() if line.endswith("<- first not finite")]
    assert marked.startswith("drop")
    Bad.kind = "gradient"
    print_replayed(run.replay())
    assert "first.weight" in capsys.readouterr().out


class Telling(Trainer):
    losses: ClassVar[list[float]] = []

    def train_step(self, batch: Any) -> Any:
        result = super().train_step(batch)
        if self.progress.step == 6:
            Telling.losses.append(result.loss.item())
            raise KeyError("lost")
        return result


def test_the_replayed_step_has_the_numbers_of_the_step(project: Path, tiny: Tiny) -> None:
    """The same weights, batch and dropout give the same loss to the last bit."""
    Telling.losses.clear()
    with pytest.raises(ConfigError, match="KeyError"):
        assay.train(tiny({**CONFIG, "trainer.type": Telling}), quiet=True, preflight=False)
    torch.manual_seed(99)
    assay.open("last", model=Net, trainer=Telling, dataset=Data).replay()
    assert len(Telling.losses) == 2
    assert Telling.losses[0] == Telling.losses[1]


def test_a_failure_in_an_evaluation_is_kept_and_made_again(project: Path, tiny: Tiny) -> None:
    error, run = failed(tiny({**CONFIG, "validation.every": "4ba"}), "evaluation", 8)
    assert isinstance(error, MemoryExhaustedError)
    assert error.message.startswith("out of memory in the validation")
    again = run.replay()
    assert (again.at.phase, again.at.step, again.at.batch) == ("validation", 8, 0)
    assert isinstance(again.error, MemoryExhaustedError)
    Bad.kind = ""
    assert run.replay().error is None


def test_a_batch_that_no_file_of_tensors_holds_is_read_again(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.experiment.failed_step.storable", lambda batch: False)
    _, run = failed(tiny(CONFIG), "forward", 14)
    assert not (run.path / "failed" / "step-00000014" / "batch.pt").exists()
    again = run.replay()
    assert str(again.error).splitlines()[0] == again.before


def test_a_step_that_was_not_kept_is_an_error_that_says_which_were(project: Path, tiny: Tiny) -> None:
    _, run = failed(tiny(CONFIG), "forward", 6)
    with pytest.raises(ConfigError, match=r"no failed step 5 is kept[^$]*--step of one of these: 6"):
        run.replay(5)
    Bad.kind = ""
    resumed = assay.train(tiny(CONFIG), resume=run.path, quiet=True)
    assert resumed.status["state"] == "completed"
    with pytest.raises(ConfigError, match="only a step that failed is kept"):
        assay.train(tiny(CONFIG), quiet=True).replay()


def test_a_disk_that_refuses_the_step_does_not_hide_the_failure(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Checkpoints.save

    def refuse(self: Checkpoints, *args: Any, **facts: Any) -> Any:
        if self.folder.name == "failed":
            raise OSError(28, "No space left on device")
        return save(self, *args, **facts)

    monkeypatch.setattr(Checkpoints, "save", refuse)
    error, _ = failed(tiny(CONFIG), "forward", 6)
    assert isinstance(error, NonFiniteError)
    assert "the step could not be kept to be run again: [Errno 28] No space left" in error.hint


def test_the_debugger_stands_in_the_layer(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = failed(tiny(CONFIG), "forward", 6)
    stood: list[Any] = []

    def post_mortem(trace: Any) -> None:
        while trace is not None:
            stood.append(trace.tb_frame)
            trace = trace.tb_next

    monkeypatch.setattr(replaying.pdb, "post_mortem", post_mortem)
    shown = run.replay(debug=True)
    assert isinstance(shown.error, NonFiniteError)
    assert shown.error.message == "the output of layer 'drop' is not finite"
    assert "forward" in [frame.f_code.co_name for frame in stood]
    assert type(stood[-1].f_locals["self"]) is torch.nn.Dropout
    assert not torch.isfinite(stood[-1].f_locals["result"]).all()
    assert "train step 6: the output of layer 'drop' is not finite" in capsys.readouterr().out


class OnDevice(Trainer):
    """As on a device that is not read at every step."""

    fused = False

    def __init__(self, parts: Any, **settings: Any) -> None:
        super().__init__(parts, **settings)
        self.reads_numbers = False
        self.flag = Flag(self.optimizer, self.device)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_a_device_that_is_not_read_at_every_step_is_found_out_before_a_checkpoint(
    project: Path, tiny: Tiny, kind: str, fused: bool
) -> None:
    optimizer = {"type": "SGD", "args": {"lr": 0.1, "momentum": 0.9, "fused": fused}}
    config = tiny({**CONFIG, "trainer.type": OnDevice, "optimizer": optimizer, "checkpoints.every": "5ba"})
    error, run = failed(config, kind, 6)
    assert isinstance(error, NonFiniteError)
    assert "the gradient was not finite at step 6 (epoch 0, batch 6)" in error.message
    assert ("no update was made since" in error.message) == fused
    assert [path.name for path in Checkpoints(run.folder.checkpoints).all()] == ["step-00000005"]
    assert "the last checkpoint is step-00000005" in error.hint
    Bad.kind = ""
    resumed = assay.train(config, resume=run.path, quiet=True)
    whole = assay.train(config, quiet=True)
    one, two = (weights(run.folder.checkpoints / "last") for run in (resumed, whole))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_loss_scale_that_collapses_is_no_training(project: Path, tiny: Tiny) -> None:
    class Collapsed(Trainer):
        def train_step(self, batch: Any) -> Any:
            self.scaler._scale = torch.tensor(2.0**-30) if self.scaler._scale is not None else None
            return super().train_step(batch)

    config = tiny({**CONFIG, "trainer.type": Collapsed, "host.precision": "float16"})
    with pytest.raises(NonFiniteError, match="float16 cannot hold the gradient at any loss scale"):
        assay.train(config, quiet=True, preflight=False)


def test_a_component_that_ends_the_process_ends_the_run_with_a_status(project: Path, tiny: Tiny) -> None:
    class Leaving(Trainer):
        def train_step(self, batch: Any) -> Any:
            sys.exit(3)

    with pytest.raises(ConfigError, match="SystemExit: 3"):
        assay.train(tiny({**CONFIG, "trainer.type": Leaving}), quiet=True, preflight=False)
    assert assay.open("last", **PARTS).status["state"] == "failed"
