"""What the loop asks of the way in which a training is spread over processes; here there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from assay.errors import AssayError, NonFiniteError
from assay.model.metrics.collection import MetricSet
from assay.model.metrics.reading import Reading
from assay.trainer.batches import count_samples, split_batch
from assay.trainer.checkpoint.reading import Checkpoint
from assay.trainer.checkpoint.writing import Parts
from assay.trainer.signals import Signals

if TYPE_CHECKING:
    from assay.data.loaders.base import BaseLoader
    from assay.trainer.base import BaseTrainer
    from assay.trainer.state import StepResult

__all__ = ["Strategy"]

Result = TypeVar("Result")


class Strategy:
    """One process. A subclass spreads a training over several; each method says what all of them do together, and all
    of them call it at the same moments.
    """

    name = "single"
    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def signals(self) -> Signals:
        """What signals are answered with."""
        return Signals(interruptible=True)

    def prepare(self, model: nn.Module, device: torch.device, *, sync_batchnorm: bool) -> nn.Module:
        """The model as it is trained, on its device; the names of its parameters stay as they are."""
        return model.to(device)

    def attach(self, trainer: BaseTrainer) -> None:
        """Give the loaders of a trainer their part.

        Raises:
            ConfigError: there are fewer samples in a batch than processes.
        """

    def begin(self, trainer: BaseTrainer) -> None:
        """Before the first step."""

    def cut(self, trainer: BaseTrainer, batch: Any, data: BaseLoader, number: int) -> Iterable[tuple[Any, int]]:
        """The micro-batches of this process's part of batch `number`, and how many processes have the same."""
        return [(micro, 1) for micro in split_batch(batch, trainer.micro_size)]

    def count(self, trainer: BaseTrainer, batch: Any) -> int:
        """Samples of the batch of an update, over all processes."""
        return count_samples(batch)

    def samples(self, trainer: BaseTrainer, results: Sequence[StepResult]) -> int:
        """Samples of an update that is done."""
        return sum(result.count for result in results)

    def reading(self, sums: MetricSet, result: StepResult, copies: int) -> Reading:
        """What a step on samples that `copies` processes have adds to the sums of this one."""
        return sums.read(result)

    def readings(self, trainer: BaseTrainer, sums: MetricSet, results: Sequence[StepResult]) -> list[Reading]:
        """What the steps of an update add to the sums of this process."""
        return [sums.read(result) for result in results]

    def put_off(self, error: NonFiniteError) -> None:
        """Raise an error of this process at a moment at which all of them can."""
        raise error

    def agree(self, trainer: BaseTrainer, weight: float | Tensor) -> float | Tensor:
        """The sum of what the losses of an update are means over; errors that were put off are raised here."""
        return weight

    def reduce(self, trainer: BaseTrainer, optimizer: torch.optim.Optimizer, *, is_mean: bool) -> None:
        """Replace the gradients that an optimizer is about to use by their sum over the processes.

        Args:
            is_mean: they are those of means over a process's samples, and count for its share of the batch.
        """

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """The 2-norm of all gradients together, a scalar."""
        return nn.utils.get_total_norm(gradients)

    def largest(self, flag: Tensor) -> None:
        """Raise a flag of the device where another process has raised its own."""

    def union(self, names: list[str]) -> list[str]:
        """What the processes have found in the tensors that they hold."""
        return names

    def whole(self, tensor: Tensor) -> Tensor:
        """One that is spread over the processes, which all call it."""
        return tensor

    def parts(self, tensors: Mapping[str, Any]) -> Parts:
        """What each process writes of a checkpoint."""
        return Parts(tensors)

    def read(self, checkpoint: Checkpoint, name: str, device: torch.device) -> Any:
        """What this process needs of a file of a checkpoint."""
        return checkpoint.tensors(name, device)

    def after_update(self, model: nn.Module) -> None:
        """Make the same what an update has left different: buffers that no gradient moves."""

    def gather(self, content: Any) -> list[Any]:
        """What every process has, by rank."""
        return [content]

    def share(self, content: Any) -> Any:
        """What the first process has."""
        return content

    def on_first(self, act: Callable[[], Result]) -> Result:
        """What comes of it where the first process does it; its error where it fails."""
        return act()

    def heard(self, error: BaseException) -> AssayError | None:
        """Why another process has ended, where that is what `error` comes from."""
        return None

    def fail(self, error: AssayError) -> None:
        """Tell the other processes why this one ends, and leave them."""

    def leave(self) -> None:
        """The end; whoever waits for this process gets an error."""
