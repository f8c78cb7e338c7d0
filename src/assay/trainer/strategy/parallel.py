"""Several processes, each with all of the model and a part of every batch (data parallel, DDP).

The gradients are summed over the processes before the optimizer steps, in a few large pieces, and not while they come
as in `torch.nn.parallel.DistributedDataParallel`: so it holds for any `update` (micro-batches, several passes, several
optimizers, parameters that one process did not use), the parts of a batch may have any size, and the model is the
user's own module with its own names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assay.data.loaders.division import Division
from assay.errors import AssayError, ConfigError, NonFiniteError, Problem
from assay.model.losses.weighting import batch_scale, loss_is_sum
from assay.model.metrics.collection import MetricSet
from assay.model.metrics.reading import Reading
from assay.model.synchronised import SynchronisedBatchNorm, synchronise
from assay.trainer.batches import cut_batch
from assay.trainer.guard import refuse_gradient
from assay.trainer.signals import Signals
from assay.trainer.strategy.base import Strategy
from assay.trainer.strategy.peers import Peers
from assay.trainer.strategy.shared_signals import SharedSignals
from assay.trainer.strategy.summing import broadcast, forms, sum_gradients
from assay.trainer.walk import parts_with_state
from assay.utils.sharded import is_sharded

if TYPE_CHECKING:
    from assay.data.loaders.base import BaseLoader
    from assay.trainer.base import BaseTrainer
    from assay.trainer.state import StepResult

__all__ = ["DataParallel"]

Result = TypeVar("Result")


class DataParallel(Strategy):
    """
    Args:
        peers: the processes, which have met.
    """

    name = "ddp"

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.rank, self.size = peers.rank, peers.size
        self.shared = SharedSignals(lambda number: int(self.peers.largest([number])[0]), tells=not peers.rank)
        self._error: AssayError | None = None
        self._forms: tuple[int, ...] = ()
        self._reduced: set[int] = set()
        self._weight: float | Tensor | None = None  # in an update: what the losses were means over, if it was agreed on
        self._buffers: list[Tensor] = []
        self._synchronises = False

    def signals(self) -> Signals:
        return self.shared

    def prepare(self, model: nn.Module, device: torch.device, *, sync_batchnorm: bool) -> nn.Module:
        self._synchronises = sync_batchnorm
        model = model.to(device)
        return synchronise(model, device) if sync_batchnorm else model

    def attach(self, trainer: BaseTrainer) -> None:
        parts, micro = trainer.parts, trainer.micro_size
        if micro < self.size:
            problem = Problem(
                "a micro-batch has fewer samples than there are processes",
                key="data.loader.args.batch_size",
                found=f"{parts.train_data.batch_size} samples, in {trainer.accumulate} micro-batches",
                expected=f"at least {self.size * trainer.accumulate} for {self.size} processes",
            )
            raise ConfigError.of(problem)
        SynchronisedBatchNorm.of_means = trainer.has_own_update and not loss_is_sum(trainer.loss)
        parts.train_data.division = Division(self.rank, self.size, micro, joins=trainer.has_own_update)
        for data in (parts.validation_data, parts.test_data):
            if data is not None:
                data.division = Division(self.rank, self.size, micro)

    def begin(self, trainer: BaseTrainer) -> None:
        parts = parts_with_state(trainer)
        beside = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        if not trainer.progress.step:  # afterwards each has what it had when it was saved
            averages = [] if trainer.average is None else [trainer.average]
            for module in (trainer.model, trainer.loss, *averages, *beside.values()):
                kept = [*module.parameters(), *module.buffers()]
                broadcast([tensor.data for tensor in kept if not is_sharded(tensor)])
        if self._synchronises:
            for name, part in beside.items():
                shared = synchronise(part, trainer.device)
                if shared is not part and hasattr(trainer, name):
                    setattr(trainer, name, shared)
        persistent = {id(tensor) for tensor in trainer.model.state_dict(keep_vars=True).values()}
        same = (SynchronisedBatchNorm, nn.SyncBatchNorm)
        self._buffers = [
            buffer
            for module in trainer.model.modules()
            for buffer in module.buffers(recurse=False)
            if id(buffer) in persistent and not isinstance(module, same)
        ]
        stepping = {id(part): part for part in (*vars(trainer).values(), *parts.values())}
        for optimizer in [part for part in stepping.values() if isinstance(part, torch.optim.Optimizer)]:
            optimizer.register_step_pre_hook(lambda stepping, *_: self._before_step(trainer, stepping))

    def cut(self, trainer: BaseTrainer, batch: Any, data: BaseLoader, number: int) -> Iterator[tuple[Any, int]]:
        pieces, norm = data.pieces(number), SynchronisedBatchNorm
        before = norm.copies, norm.of_means
        try:
            for micro, piece in zip(cut_batch(batch, [piece.count for piece in pieces]), pieces, strict=True):
                norm.copies, norm.of_means = piece.copies, False  # an update of a trainer's own may be around this one
                yield micro, piece.copies
        finally:
            norm.copies, norm.of_means = before

    def count(self, trainer: BaseTrainer, batch: Any) -> int:
        return trainer.parts.train_data.count(trainer.progress.batch)

    def samples(self, trainer: BaseTrainer, results: Sequence[StepResult]) -> int:
        return trainer.parts.train_data.count(trainer.progress.batch)

    def reading(self, sums: MetricSet, result: StepResult, copies: int) -> Reading:
        reading = sums.read(result)
        return reading.void() if copies > 1 and self.rank else reading

    def readings(self, trainer: BaseTrainer, sums: MetricSet, results: Sequence[StepResult]) -> list[Reading]:
        copies = [piece.copies for piece in trainer.parts.train_data.pieces(trainer.progress.batch)]
        if len(results) != len(copies):  # an update of a trainer's own
            copies = [min(copies)] * len(results)
        return [self.reading(sums, result, count) for result, count in zip(results, copies, strict=True)]

    def put_off(self, error: NonFiniteError) -> None:
        self._error = self._error or error

    def agree(self, trainer: BaseTrainer, weight: float | Tensor) -> float | Tensor:
        if trainer.reads_numbers and not trainer.scaler.is_enabled() and self._error is None:
            try:
                self._refuse(trainer)
            except NonFiniteError as error:
                self.put_off(error)
        on_host = not isinstance(weight, Tensor) or weight.is_cpu
        mine = self._held(trainer.optimizer)
        flags = [float(self._error is not None), float(mine != self._forms), float(self.shared.own)]
        total, bad, other, signal = self.peers.summed_and_largest([float(weight) if on_host else 0.0], flags)
        self.shared.agreed, self.shared.knows = int(signal), True
        if bad:
            self._raise_together()
        if other:
            self._forms = tuple(map(max, zip(*self.gather(mine), strict=True)))
        if isinstance(weight, Tensor) and not on_host:
            dist.all_reduce(weight := weight.clone())
            self._weight = weight
        else:
            self._weight = total
        return self._weight

    def reduce(self, trainer: BaseTrainer, optimizer: torch.optim.Optimizer, *, is_mean: bool) -> None:
        factor = 1.0
        if is_mean:
            self.agree(trainer, 0.0)
            self._weight = None
            factor = self._share(trainer)
        self._settle(_parameters(optimizer), self._forms, factor, of_means=is_mean)
        self._reduced.add(id(optimizer))

    def after_update(self, model: nn.Module) -> None:
        self._weight = None
        if self._buffers:
            broadcast(self._buffers)

    def gather(self, content: Any) -> list[Any]:
        return self.peers.gather(content)

    def share(self, content: Any) -> Any:
        return self.peers.share(content)

    def on_first(self, act: Callable[[], Result]) -> Result:
        return self.peers.on_first(act)

    def heard(self, error: BaseException) -> AssayError | None:
        return self.peers.heard(error)

    def fail(self, error: AssayError) -> None:
        self.peers.fail(error)

    def leave(self) -> None:
        self.peers.leave()

    def _share(self, trainer: BaseTrainer) -> float:
        """What the mean over this process's samples counts for; all of it where the loss is a sum."""
        if loss_is_sum(trainer.loss):
            return 1.0
        data, number = trainer.parts.train_data, trainer.progress.batch
        return sum(piece.count / piece.copies for piece in data.pieces(number)) / data.count(number)

    def _before_step(self, trainer: BaseTrainer, optimizer: torch.optim.Optimizer) -> None:
        """For optimizers that a trainer steps by itself."""
        if id(optimizer) in self._reduced:
            self._reduced.discard(id(optimizer))
            return
        held = list(map(max, zip(*self.gather(self._held(optimizer)), strict=True)))
        factor: float | Tensor = self._share(trainer)
        if self._weight is not None:  # the loop's own update has made them: they are summands, and not means
            factor = batch_scale(trainer.loss, self._weight, self.count(trainer, None))
        self._settle(_parameters(optimizer), held, factor, of_means=self._weight is None)

    def _held(self, optimizer: torch.optim.Optimizer) -> tuple[int, ...]:
        """The forms of this process's gradients."""
        return forms(_parameters(optimizer))

    def _refuse(self, trainer: BaseTrainer) -> None:
        """Before they are summed: afterwards nobody knows whose samples it was."""
        gradients = [p.grad for p in _parameters(trainer.optimizer) if p.grad is not None]
        refuse_gradient(trainer, nn.utils.get_total_norm(gradients))

    def _settle(
        self, parameters: Sequence[nn.Parameter], held: Sequence[int], factor: float | Tensor, *, of_means: bool
    ) -> None:
        """Make gradients those of all processes.

        Args:
            held: the form that each has over all of them.
            of_means: whether they are those of means over a process's samples, and the factor is its share.
        """
        sum_gradients(parameters, held, factor, self.gather)

    def _raise_together(self) -> NoReturn:
        told = [(rank, error) for rank, error in enumerate(self.gather(self._error)) if error is not None]
        self._error = None
        rank, first = told[0]
        if len(told) > 1:
            first.found = "; ".join(f"rank {rank}: {error.found}" for rank, error in told)
        raise self.peers.from_rank(first, rank)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
