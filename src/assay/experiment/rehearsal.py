"""One training step on paper: the run's own trainer on tensors that have shapes and types, and no memory."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from assay.config.binding import Bound
from assay.config.check import Checked
from assay.data.splits import Splits
from assay.errors import AssayError, ConfigError, Problem
from assay.experiment.build import assemble, build_network
from assay.experiment.failures import out_of_memory
from assay.experiment.findings import placed
from assay.experiment.layers import LayerTrace, first_line, raised_in
from assay.experiment.live_storages import LiveStorages
from assay.trainer.base import BaseTrainer
from assay.trainer.batches import count_samples, split_batch
from assay.trainer.state import StepResult
from assay.utils.devices import dtype_of

__all__ = ["Rehearsed", "rehearse"]


@dataclass(frozen=True)
class Rehearsed:
    """What the step has shown.

    Args:
        trainer: as the run builds it; its tensors mostly have no memory.
        parameters, trainable: numbers in the model's parameters, and in those that are trained.
        flops: of one sample's forward pass, an addition and a multiplication being two; None where the trainer has no
            forward pass of its own.
        peak_bytes: the most that the tensors of a training step hold at once; None where it cannot be known.
        state_bytes: of a checkpoint's tensors: model, moving average, and state of the optimizer.
        results: of the forward pass of every micro-batch of a training batch.
        evaluated: of the forward pass in evaluation, by split.
        maker: the layer that makes the output.
    """

    trainer: BaseTrainer
    parameters: int
    trainable: int
    flops: int | None
    peak_bytes: int | None
    state_bytes: int
    results: list[StepResult]
    evaluated: dict[str, StepResult]
    maker: str


def rehearse(checked: Checked, data: Splits, batches: dict[str, Any], device: torch.device) -> Rehearsed:
    """Build everything and take a step, with the shapes and types of real batches.

    What fails without numbers may be at fault or may need them (a branch on a value, a conversion to NumPy): then two
    real samples of each batch decide, on the CPU, with a model that is really there.

    Args:
        batches: a batch of every split.

    Raises:
        ConfigError: a component cannot be built, or a layer, the loss or the optimizer cannot take what it is given.
    """
    try:
        with _defaults(checked, device):
            try:
                return _on_paper(checked, data, batches, device)
            except _NotBuiltOnPaper:
                return _on_paper(_with_model(checked, data), data, batches, device, last_try=True)
    except ConfigError:
        host = torch.device("cpu")
        few = {split: split_batch(batch, 2)[0] for split, batch in batches.items()}
        with _defaults(checked, host):
            step = _rehearsed(assemble(_copied(checked, host), data, host), few, LiveStorages())
        return replace(step, peak_bytes=None)


class _NotBuiltOnPaper(Exception):
    """A constructor failed without numbers, or read some: with those that are made up, the model may be another one."""


def _with_model(checked: Checked, data: Splits) -> Checked:
    """With the model itself in the place of its class, on the host: its weights have numbers."""
    with torch.device("cpu"), placed(checked):
        model = build_network(checked, data.info)
    bound = replace(checked.components["model",], obj=model)
    return replace(checked, components={**checked.components, ("model",): bound})


def _on_paper(
    checked: Checked, data: Splits, batches: dict[str, Any], device: torch.device, *, last_try: bool = False
) -> Rehearsed:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    copied = _copied(checked, device, mode)
    with mode, LiveStorages(on_paper=True) as memory, _CopiesOnPaper(), _silence():
        try:
            trainer = assemble(copied, data, device, on_paper=True)
        except ConfigError as error:
            if last_try:
                raise
            raise _NotBuiltOnPaper from error
        if memory.made_up and not last_try:
            raise _NotBuiltOnPaper
        trainer.reads_numbers = False
        trainer.scaler = torch.amp.GradScaler(device.type, enabled=False)
        without_numbers = {split: tree_map_only(Tensor, mode.from_tensor, batch) for split, batch in batches.items()}
        return _rehearsed(trainer, without_numbers, memory)


def _rehearsed(trainer: BaseTrainer, batches: dict[str, Any], memory: LiveStorages) -> Rehearsed:
    tree_map_only(Tensor, memory.count, batches["train"])
    step = _Step(trainer, memory)
    results, flops = step.forward(batches["train"])
    peak = step.update(batches["train"])
    evaluated = {split: step.evaluate(batch, split) for split, batch in batches.items() if split != "train"}
    sizes = {parameter: parameter.numel() for parameter in trainer.model.parameters()}
    return Rehearsed(
        trainer,
        sum(sizes.values()),
        sum(size for parameter, size in sizes.items() if parameter.requires_grad),
        flops,
        peak,
        _state_bytes(trainer),
        results,
        evaluated,
        step.maker,
    )


class _CopiesOnPaper(TorchFunctionMode):
    """`copy.deepcopy` of a tensor without memory makes another one; torch's own copies memory that is not there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        if id(tensor) not in memo:
            made = torch.empty_like(tensor.detach())
            is_parameter, trained = isinstance(tensor, nn.Parameter), tensor.requires_grad
            memo[id(tensor)] = nn.Parameter(made, trained) if is_parameter else made.requires_grad_(trained)
        return memo[id(tensor)]


class _CopiesOfResults(TorchFunctionMode):
    """`copy.deepcopy` of a tensor that was computed copies its numbers (torch refuses): weights under `weight_norm`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not Tensor.__deepcopy__ or args[0].is_leaf:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        return memo.setdefault(id(tensor), tensor.detach().clone())


class _Step:
    def __init__(self, trainer: BaseTrainer, memory: LiveStorages) -> None:
        self.trainer, self.memory = trainer, memory
        self.maker = ""
        self.trace, self.loss = LayerTrace(trainer.model), LayerTrace(trainer.loss)

    def forward(self, batch: Any) -> tuple[list[StepResult], int | None]:
        """One forward pass of every micro-batch, and its operations per sample."""
        trainer = self.trainer
        if type(trainer).update is not BaseTrainer.update:
            return [], None
        trainer.model.train()
        results = []
        calls: list[tuple[Any, Any]] = []
        handle = trainer.model.register_forward_pre_hook(lambda _, *given: calls.append(given), with_kwargs=True)
        with self._told("train"):
            for micro in split_batch(batch, math.ceil(count_samples(batch) / trainer.accumulate)):
                with trainer.autocast():
                    result = trainer.train_step(trainer.to_device(micro))
                self.maker = self.maker or self.trace.maker_of(result.output)
                results.append(replace(result, loss=result.loss.detach(), output=_detached(result.output)))
        handle.remove()
        if not calls:
            return results, None
        # A pass of its own: the counter bears neither torch.autograd.grad, which a step may hold, nor inputs with one.
        args, kwargs = _detached(calls[0])
        with FlopCounterMode(display=False) as counter, torch.no_grad(), trainer.autocast():
            trainer.model(*args, **kwargs)
        return results, round(counter.get_total_flops() / results[0].count)

    def update(self, batch: Any) -> int:
        """One update; the most memory that this and every later one needs, in bytes."""
        trainer, before = self.trainer, []
        trainer.model.train()
        self.memory.restart()
        handle = trainer.optimizer.register_step_pre_hook(lambda *_: before.append(self.memory.peak))
        with self._told("train"):
            trainer.update(batch)
        handle.remove()
        if trainer.average is not None:
            trainer.average.update_parameters(trainer.model)
        # The state that the optimizer made in this step is there all through the next one.
        state = sum(_bytes(value) for value in trainer.optimizer.state.values())
        return max(self.memory.peak, max(before, default=0) + state)

    def evaluate(self, batch: Any, split: str) -> StepResult:
        self.trainer.model.eval()
        with torch.no_grad(), self._told(split), self.trainer.autocast():
            return self.trainer.evaluate_step(self.trainer.to_device(batch))

    @contextmanager
    def _told(self, split: str) -> Iterator[None]:
        try:
            with self.trace.watching(), self.loss.watching():
                yield
        except (AssayError, MemoryError):
            raise
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error) from error
        except Exception as error:
            raise ConfigError.of(self._problem(error, split)) from error

    def _problem(self, error: Exception, split: str) -> Problem:
        cause = f"{type(error).__name__}: {first_line(error)}"
        place = f" at {raised_in(error)}" if raised_in(error) else ""
        data = "" if split == "train" else f" of {split}"
        if self.loss.where():
            return Problem(
                "the loss cannot take the model's output and the dataset's targets",
                key="loss",
                found=f"{self.loss.inputs()}: {cause}{place}",
                hint="see the loss's documentation for the shapes that it compares",
            )
        if self.trace.where() and isinstance(error, (AttributeError, NameError, ImportError, AssertionError)):
            return Problem(
                f"the forward pass{data} fails in {self.trace.where()}: {cause}", key="model", found=place[4:]
            )
        if self.trace.where():
            return Problem(
                f"the data{data} does not fit {self.trace.where()}",
                key="model",
                found=f"an input {self.trace.inputs()}: {cause}{place}",
                hint="give the layer the size of its input; see what the layers before it make of the data's shape",
            )
        stepping = any(frame.name == "step_optimizer" for frame in traceback.extract_tb(error.__traceback__))
        key, what = ("optimizer", "the optimizer") if stepping else ("trainer", f"a step of training{data}")
        return Problem(f"{what} fails: {cause}", key=key, found=f"raised{place}" if place else "")


def _detached(nested: Any) -> Any:
    """Without the graph behind it, which would count as memory."""
    return tree_map_only(Tensor, Tensor.detach, nested)


def _state_bytes(trainer: BaseTrainer) -> int:
    """What a checkpoint holds of tensors."""
    average = trainer.average.state_dict() if trainer.average is not None else {}
    return _bytes(trainer.model.state_dict()) + _bytes(trainer.optimizer.state_dict()["state"]) + _bytes(average)


def _bytes(nested: Any) -> int:
    """Of the tensors; those that layers share (tied weights) count once, as in a file."""
    storages = {}
    for leaf in tree_leaves(nested):
        if isinstance(leaf, Tensor):
            strided = leaf.layout is torch.strided
            key = (leaf.untyped_storage()._cdata, leaf.storage_offset(), leaf.shape) if strided else id(leaf)
            storages[key] = leaf.numel() * leaf.element_size()
    return sum(storages.values())


@contextmanager
def _silence() -> Iterator[None]:
    """What is worth a warning comes again in the run; torch logs a traceback of every misfit, which is told by us."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = before


@contextmanager
def _defaults(checked: Checked, device: torch.device) -> Iterator[None]:
    """New tensors are on the device and in the precision of the run; generators are left as they were."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype_of(checked.config.host.precision))
    try:
        place = contextlib.nullcontext() if device.type == "cpu" else device
        with torch.random.fork_rng(devices=[]), place:
            yield
    finally:
        torch.set_default_dtype(before)


def _copied(checked: Checked, device: torch.device, mode: FakeTensorMode | None = None) -> Checked:
    """Modules that are ready are copied, into the mode: a step must leave them as they are."""
    copies: dict[Any, Bound] = {}
    for at, bound in checked.components.items():
        if bound.is_ready and isinstance(bound.obj, nn.Module) and at[0] in ("model", "loss"):
            with _CopiesOfResults():
                module = copy.deepcopy(bound.obj).to(device, torch.get_default_dtype())
            with FakeCopyMode(mode) if mode else contextlib.nullcontext():
                copies[at] = replace(bound, obj=copy.deepcopy(module))
    return replace(checked, components={**checked.components, **copies})
