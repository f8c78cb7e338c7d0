"""What the processes of a training do that are not the first: they train with it, and write nothing."""

from __future__ import annotations

from rich.console import Console

from assay.config.check import Checked
from assay.experiment.build import Built
from assay.experiment.failures import explained
from assay.store.run_folder import RunFolder
from assay.trainer.display import Display
from assay.trainer.signals import Signals
from assay.trainer.witness import Witness

__all__ = ["follow"]


def follow(run: RunFolder, checked: Checked, built: Built, signals: Signals) -> None:
    """Train to the end; whatever ends it is raised here too.

    Args:
        signals: entered; from here on they are answered between steps, by all processes together.
    """
    signals.interruptible = False
    trainer, config = built.trainer, checked.config
    display = Display(Console(quiet=True), trainer.updates)
    writer = Witness(run, (config.logging, config.checkpoints), display, signals)
    signals.last_words = writer.stopped_at_once
    try:
        trainer.train(writer)
    except BaseException as error:
        shown = trainer.strategy.heard(error) or explained(error, trainer, run)
        raise shown from (error if shown is not error else error.__cause__)
    finally:
        for loader in (built.data.train, built.data.validation, built.data.test):
            if loader is not None:
                loader.close()
