"""The writer of the processes that write nothing: the first one does, and they take part in what it needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.config.schema import Checkpoints as CheckpointSettings
from assay.config.schema import Logging
from assay.model.metrics.collection import MetricSet
from assay.store.run_folder import RunFolder
from assay.trainer.display import Display
from assay.trainer.media import shown_tensors
from assay.trainer.signals import Signals
from assay.trainer.state import Progress
from assay.trainer.writer import Writer

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["Witness"]


class Witness(Writer):
    """Sees what is recorded, since the best value and the end are decided by it, and keeps none of it."""

    def __init__(
        self, run: RunFolder, settings: tuple[Logging, CheckpointSettings], display: Display, signals: Signals
    ) -> None:
        nowhere: Any = _Nowhere()
        super().__init__(run, nowhere, nowhere, settings, display, signals)
        self.recorder = nowhere

    def record(
        self, trainer: BaseTrainer, phase: str, metrics: MetricSet, at: Progress | None = None, write: bool = True
    ) -> dict[str, float]:
        if write and phase == "train" and self.logging.histograms:
            for _, _, tensor in shown_tensors(trainer.model):
                trainer.strategy.whole(tensor)
        return super().record(trainer, phase, metrics, at, write=False)

    def save(self, trainer: BaseTrainer, measured: Sequence[str], best: bool) -> None:
        tensors, _ = self.taken(trainer)
        trainer.strategy.parts(tensors).follow()

    def best_checkpoint(self, trainer: BaseTrainer) -> Any:
        return None  # the first process tells

    def stopped_at_once(self) -> str:
        return "the first process tells what is kept"

    def write_status(self, trainer: BaseTrainer, state: str, **facts: Any) -> None:
        """The first process does."""

    def _retain(self) -> None:
        """The first process does."""

    def _show(self, trainer: BaseTrainer, measured: Sequence[str], epoch: int, improved: bool) -> None:
        """The first process does."""


class _Nowhere:
    """In the place of a journal's recorder."""

    def record(self, *_: Any, **__: Any) -> None:
        """Not here."""

    def flush(self, *_: Any, **__: Any) -> None:
        """Not here."""
