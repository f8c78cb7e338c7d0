"""The only epoch loop. A new trainer supplies a step, never a loop."""

from __future__ import annotations

import contextlib
import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, final

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from assay.data.generators import restored_generators
from assay.data.loaders.base import BaseLoader
from assay.errors import ConfigError, DataError, NonFiniteError, Problem
from assay.model.losses.weighting import loss_is_sum, loss_total
from assay.model.metrics.collection import MetricSet
from assay.model.states import load_module
from assay.schedulers.sequence import Sequence as SchedulerSequence
from assay.trainer.attachments import Attachments
from assay.trainer.attributes import Attributes
from assay.trainer.batches import to_device
from assay.trainer.gradients import gradient_of_nothing, prepare_gradients, weight_of, window_scale
from assay.trainer.guard import Flag, refuse_loss
from assay.trainer.measured import judge, require_measured
from assay.trainer.monitor import EarlyStopping, Monitor
from assay.trainer.signals import Signals, Stopped
from assay.trainer.state import Parts, Progress, StepResult, due
from assay.trainer.writer import Writer
from assay.utils.devices import dtype_of, seed_generators
from assay.utils.seeds import derive, step_seed

__all__ = ["BaseTrainer"]


class BaseTrainer(ABC):
    """Trains, validates and tests a model.

    `train()` and `evaluate()` are final. A subclass gives `train_step` and `evaluate_step`; where there are several
    optimizers or passes it overrides `update`. What it sets on itself is saved and restored:
    modules, optimizers, all that has a state_dict; numbers, tensors, lists, deques, generators that change in training.

        for epoch:
            for batch:
                schedulers of unit epoch, at the first one
                schedulers of unit batch
                seed the step
                update(batch)          train_step of every micro-batch, backward, clip, optimizer.step
                moving average of the weights
                record, if due by batches; validate, test, save, if due by batches
            record the epoch
            validate, if due           improvement and early stopping are decided here
            test, if due
            save, if due or improved
        test the best checkpoint, where it has not been tested

    Args:
        epochs: passes over the training data, in all.
        max_steps: stop after so many updates, even inside an epoch.
        monitor: `min phase/name` or `max phase/name`; default `min validation/loss`, or `min train/loss` without
            validation data.
        early_stopping: `{"patience": validations, "min_delta": 0.0}`.
        accumulate: micro-batches that an update is split into; the gradient is that of the whole batch.
        clip: largest 2-norm of the gradient of all parameters together.
        ema: decay of the moving average of the weights, per update; validation and test then use the average.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        epochs: Annotated[int, Ge(1)] = 10,
        max_steps: Annotated[int, Ge(1)] | None = None,
        monitor: str | None = None,
        early_stopping: EarlyStopping | Mapping[str, Any] | None = None,
        accumulate: Annotated[int, Ge(1)] = 1,
        clip: Annotated[float, Gt(0)] | None = None,
        ema: Annotated[float, Interval(gt=0, lt=1)] | None = None,
    ) -> None:
        _require(epochs >= 1, "epochs", epochs, "a whole number of at least 1")
        _require(max_steps is None or max_steps >= 1, "max_steps", max_steps, "a whole number of at least 1, or null")
        _require(accumulate >= 1, "accumulate", accumulate, "a whole number of at least 1")
        _require(clip is None or clip > 0, "clip", clip, "a number above 0, or null")
        _require(ema is None or 0 < ema < 1, "ema", ema, "a number between 0 and 1, or null")
        self.parts, self.strategy = parts, parts.strategy
        self.model, self.loss, self.optimizer = parts.model, parts.loss, parts.optimizer
        self.device = parts.device
        self.reads_numbers = self.device.type == "cpu"  # free on the host; elsewhere a read waits for the device
        self.epochs, self.max_steps, self.accumulate, self.clip = epochs, max_steps, accumulate, clip
        if isinstance(early_stopping, Mapping):
            early_stopping = EarlyStopping(**early_stopping)
        default = "min validation/loss" if parts.validation_data is not None else "min train/loss"
        self.monitor = Monitor.parse(monitor or default, early_stopping)
        self.progress, self.attachments = Progress(), Attachments()
        phases = ["train", "validation", "test"] + (["batch"] if parts.logging_every.unit == "ba" else [])
        sums = loss_is_sum(self.loss)
        gather = self.strategy.gather if self.strategy.size > 1 else None
        self.metrics = {
            phase: MetricSet(parts.metrics, self.device, loss_is_sum=sums, gather=gather) for phase in phases
        }
        require_measured(self)
        self.schedulers = SchedulerSequence(
            parts.schedulers,
            self.optimizer,
            epochs_total=math.ceil(self.updates / len(parts.train_data)),
            steps_total=self.updates,
            direction=self.monitor.direction,
        )
        self.average = None
        if ema is not None:
            moving = get_ema_multi_avg_fn(ema)  # type: ignore[no-untyped-call]  # torch has no types here
            self.average = AveragedModel(self.model, multi_avg_fn=moving)
        if parts.compile:
            # In place: no name gets a prefix. Each shape by itself: no bit hangs on those that came before.
            self.model.compile(dynamic=False)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=parts.precision == "float16")
        # A GradScaler skips such updates by itself.
        self.flag = None
        if not (self.reads_numbers or self.scaler.is_enabled()):
            self.flag = Flag(self.optimizer, self.device, self.strategy.largest)
        self.last_batch: Any = None
        self.followed: Attributes | None = None  # from the first snapshot on, what changes beside the states
        self.not_held: dict[str, str] = {}
        self.signals = Signals()  # not entered; a training has those of its writer
        self.is_whole = accumulate == 1 and self.strategy.size == 1
        """Whether one pass over one batch here gives the gradient of an update."""
        self.strategy.attach(self)

    # What a subclass may give

    @abstractmethod
    def train_step(self, batch: Any) -> StepResult:
        """One forward pass in training mode; `batch` is on the device."""

    @abstractmethod
    def evaluate_step(self, batch: Any) -> StepResult:
        """One forward pass in evaluation mode, without gradients."""

    def update(self, batch: Any) -> Sequence[StepResult]:
        """One update from one whole batch (on the host): all its micro-batches, backward, clip, optimizer.step.

        The gradients of the micro-batches are summed by what their losses are means over and divided once, so that
        they are those of the whole batch, the last ragged one included.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = self.strategy.count(self, batch)
        results: list[StepResult] = []
        weights: list[float | Tensor] = []
        for micro, copies in self.strategy.cut(self, batch, self.parts.train_data, self.progress.batch):
            with self.autocast():
                result = self.train_step(self.to_device(micro))
            self.check_finite(result)
            results.append(result)
            weight = weight_of(result, self.device) / copies
            weights.append(weight)
            # The share of the window, and not the weight itself, keeps the size of float16 gradients.
            loss = result.loss if self.is_whole else loss_total(result.loss, weight / total)
            counts = self.is_whole or isinstance(weight, Tensor) or weight
            if counts or self.strategy.size > 1:
                torch.autograd.backward(self.scaler.scale(loss if counts else gradient_of_nothing(result)))
        self.step_optimizer(window_scale(self, weights, total))
        return results

    # What a subclass may use

    def attach(self, name: str, content: Any) -> None:
        """Show a text, picture or file beside the next record of the phase; see `attachments.write_content`."""
        self.attachments.add(self.progress.attached, name, self.progress.step, content)

    def step_optimizer(self, scale: float | Tensor | None = None) -> None:
        """Sum the gradients over the processes, scale, check and clip them, and let the optimizer step.

        Args:
            scale: what makes their sum that of the batch; None: they are those of means over this process's samples.
        """
        prepare_gradients(self, scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def check_finite(self, result: StepResult) -> None:
        """Stop before the update where the loss is not finite; on a GPU the numbers are checked when they are read."""
        # A micro-batch of which no target counts has the mean of nothing, and adds nothing.
        weight = weight_of(result, self.device)
        if self.reads_numbers and (isinstance(weight, Tensor) or weight):
            try:
                refuse_loss(self, result.loss)
            except NonFiniteError as error:
                self.strategy.put_off(error)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
        if self.parts.precision in kinds:
            return torch.autocast(self.device.type, kinds[self.parts.precision])
        return contextlib.nullcontext()

    def to_device(self, batch: Any) -> Any:
        return to_device(batch, self.device, dtype_of(self.parts.precision), self.parts.memory_format)

    # The loop

    @final
    def train(self, writer: Writer) -> None:
        """Run to the end from where the progress stands.

        Raises:
            Interrupted: a signal came; the state is saved.
            NonFiniteError: a loss or gradient is not finite; the update was not made.
        """
        data, progress = self.parts.train_data, self.progress
        self.attachments.folder = writer.run.media
        self.signals = writer.signals
        self.strategy.begin(self)
        writer.begin(self)
        if progress.pending:  # a signal broke the measurements after an update off
            self._measure(writer, progress.batch == len(data))
        while not self.finished:
            if progress.batch == 0:  # a layer that a step puts into evaluation stays so to the end of its epoch
                self.model.train()
            for batch in self._batches(writer):
                if progress.batch == 0:  # not before there is a batch: what a signal saves while it is waited for
                    self.metrics["train"].reset()
                    self.schedulers.advance("epoch", monitored=progress.take_monitored())
                self._train_batch(batch, writer)
                end_of_epoch = progress.batch == len(data)
                self._after_update(writer, end_of_epoch)
                if end_of_epoch or self.finished:
                    break
        self._test_best(writer)

    @final
    def evaluate(self, data: BaseLoader, phase: str) -> MetricSet:
        """Measure the model (its moving average, where there is one) on all of `data`.

        Raises:
            Stopped: a signal came; what is measured is to be measured again.
        """
        metrics = self.metrics[phase]
        metrics.reset()
        trained, self.model = self.model, self.evaluated_model
        modes = [(module, module.training) for module in self.model.modules()]
        before, self.attachments.phase = self.attachments.phase, phase
        self.model.eval()
        try:
            with torch.no_grad(), restored_generators():
                for number, batch in enumerate(self.signals.fetched(data.batches(0))):
                    rank = (self.strategy.rank,) if self.strategy.rank else ()
                    seed_generators(derive(self.parts.seed, phase, self.progress.step, number, *rank), self.device)
                    self.last_batch = batch
                    for micro, copies in self.strategy.cut(self, batch, data, number):
                        with self.autocast():
                            result = self.evaluate_step(self.to_device(micro))
                        metrics.add(self.strategy.reading(metrics, result, copies))
        finally:
            for module, mode in modes:
                module.training = mode
            self.model, self.attachments.phase = trained, before
        return metrics.merged()

    @property
    def evaluated_model(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    @property
    def finished(self) -> bool:
        return self.progress.epoch >= self.epochs or self._at_max_steps or self.monitor.exhausted

    @property
    def updates(self) -> int:
        """Updates in all, if nothing stops the run before."""
        every = self.epochs * len(self.parts.train_data)
        return min(every, self.max_steps or every)

    @property
    def _at_max_steps(self) -> bool:
        return self.max_steps is not None and self.progress.step >= self.max_steps

    @property
    def has_own_update(self) -> bool:
        return type(self).update is not BaseTrainer.update

    @property
    def micro_size(self) -> int:
        """Samples of a micro-batch, over all processes."""
        return math.ceil((self.parts.train_data.batch_size or 1) / self.accumulate)

    def _batches(self, writer: Writer) -> Iterator[Any]:
        """The rest of this epoch; a signal saves and ends it."""
        batches = self.parts.train_data.batches(self.progress.epoch, start=self.progress.batch)
        try:
            yield from self.signals.fetched(batches)
        except (DataError, Stopped):
            self._stop(writer)
            raise

    def _stop(self, writer: Writer) -> None:
        """Save and end, if a signal asks; one to the whole process group has ended the loader's workers as well."""
        if self.signals.received:
            writer.after_update(self, [], epoch=self.progress.epoch, improved=False, save=True)

    def _train_batch(self, batch: Any, writer: Writer) -> None:
        progress = self.progress
        self.schedulers.advance("batch")
        seed_generators(step_seed(self.parts.seed, progress.step, self.strategy.rank), self.device)
        self.last_batch = batch
        results = self.update(batch)
        self.strategy.after_update(self.model)
        if self.average is not None:
            self.average.update_parameters(self.model)
        sums = self.metrics["train"]
        readings = self.strategy.readings(self, sums, results)
        progress.samples += self.strategy.samples(self, results)
        progress.batch += 1
        progress.step += 1
        for reading in readings:
            sums.add(reading)
        writer.after_step(self, readings)

    def _after_update(self, writer: Writer, end_of_epoch: bool) -> None:
        """What is due after an update: records, validation, test, checkpoint, and the answer to a signal."""
        progress, parts = self.progress, self.parts
        last = self._is_last(end_of_epoch)
        progress.measured = []
        if end_of_epoch or last:
            writer.record_epoch(self, last)
            progress.measured.append("train")
        if parts.validation_data is not None and (last or due(parts.validation_every, progress, end_of_epoch)):
            progress.pending.append("validation")
        if parts.test_data is not None and due(parts.testing_every, progress, end_of_epoch):
            progress.pending.append("test")
        self._measure(writer, end_of_epoch)

    def _measure(self, writer: Writer, end_of_epoch: bool) -> None:
        """Make the evaluations that are pending and all that follows from them. One that a signal breaks off is
        pending still in the checkpoint, and the resumed run begins with it.
        """
        progress, parts = self.progress, self.parts
        loaders = {"validation": parts.validation_data, "test": parts.test_data}
        while progress.pending:
            phase, attached = progress.pending[0], dict(progress.attached)
            data = loaders[phase]
            assert data is not None
            writer.recorder.flush()  # an evaluation may be long
            try:
                metrics = self.evaluate(data, phase)
            except (DataError, Stopped):
                progress.attached = attached
                self._stop(writer)
                raise
            writer.record(self, phase, metrics)
            progress.measured.append(progress.pending.pop(0))
        measured, progress.measured = progress.measured, []
        improved = self.monitor.name.partition("/")[0] in measured and judge(self, measured)
        epoch = progress.epoch
        save = self._is_last(end_of_epoch) or self.monitor.exhausted or due(writer.saving.every, progress, end_of_epoch)
        if end_of_epoch:
            progress.epoch, progress.batch = epoch + 1, 0
        writer.after_update(self, measured, epoch=epoch, improved=improved, save=save)

    def _is_last(self, end_of_epoch: bool) -> bool:
        return self._at_max_steps or (end_of_epoch and self.progress.epoch + 1 >= self.epochs)

    def _test_best(self, writer: Writer) -> None:
        """Test the best weights (the last ones where none was best), unless they were tested when they were made."""
        test, progress, monitor = self.parts.test_data, self.progress, self.monitor
        if test is None or any(name.startswith("test/") for name in progress.best):
            return
        if monitor.best is None:
            if progress.tested_step != progress.step:
                writer.record(self, "test", self._tested(test, writer))
            return
        trained = copy.deepcopy(self.evaluated_model.state_dict())
        weights, at = writer.best(self)
        load_module(self.evaluated_model, weights)
        try:
            metrics = self._tested(test, writer)
        finally:
            self.evaluated_model.load_state_dict(trained)
        values = writer.record(self, "test", metrics, at)
        if at.step == monitor.best_step:
            progress.best |= values

    def _tested(self, data: BaseLoader, writer: Writer) -> MetricSet:
        """The last evaluation; where a signal breaks it off, the last checkpoint is where it is made again."""
        try:
            return self.evaluate(data, "test")
        except (DataError, Stopped):
            if self.signals.received:
                raise writer.interrupted(self) from None
            raise


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        problem = Problem(f"{name} cannot be {found!r}", None, f"trainer.args.{name}", repr(found), expected)
        raise ConfigError.of(problem)
