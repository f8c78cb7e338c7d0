"""One training from a configuration to its result, in a run folder."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from assay.config.check import Checked
from assay.config.components import Allowed
from assay.data.splits import Splits
from assay.errors import Interrupted, StorageError
from assay.experiment.build import Built, build, open_data
from assay.experiment.explaining import origins
from assay.experiment.failures import explained
from assay.experiment.fingerprint import fingerprint
from assay.experiment.following import follow
from assay.experiment.output import Output
from assay.experiment.preflight import preflight
from assay.experiment.relaunch import remember
from assay.logger.courier import launch
from assay.store.environment import environment, snapshot_code
from assay.store.journal import Journal
from assay.store.lock import Lock
from assay.store.run_folder import RunFolder
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.display import Display
from assay.trainer.measured import measurements
from assay.trainer.signals import Signals, Stopped
from assay.trainer.strategy import Strategy
from assay.trainer.unsaved import unsaved
from assay.trainer.writer import Writer
from assay.utils.atomic import read_json, storing, write_json
from assay.utils.secrets import concealed_in

__all__ = ["Request", "carry_out", "describe", "ending", "start"]

# A run ends at most ten seconds after its last step, on a busy machine too: what comes after the courier (the end of a
# Python with torch, for one) has the rest of them. Where the last evaluation takes all of that time, it has two.
_COURIER_SECONDS, _AT_LEAST = 5.0, 2.0


@dataclass
class Request:
    """What a training is asked for: a configuration without mistakes, and what stands beside it."""

    checked: Checked
    allowed: Allowed
    console: Console
    objects: Mapping[str, Any] = field(default_factory=dict)
    allow_change: Sequence[str] = ()
    preflight: bool = True
    require_exact: bool = False
    strategy: Strategy = field(default_factory=Strategy)


def start(request: Request) -> tuple[RunFolder, Built]:
    """Train in a new run folder.

    Raises:
        AssayError: the configuration, the data, or what happened during the run.
    """
    checked, strategy = request.checked, request.strategy
    config = checked.config
    with strategy.signals() as signals:
        data: list[Splits] = []
        # The first looks and, where there is something to download, downloads; the others come after it.
        strategy.on_first(lambda: data.append(preflight(checked).data if request.preflight else open_data(checked)))
        built = build(checked, data[0] if data else None, strategy)
        folder, names = Path(config.folder), (config.project, config.name)
        # Processes of other machines may stand elsewhere; alone, a run is named as its folder is in the configuration.
        where = folder if strategy.size == 1 else folder.absolute()
        run = RunFolder(Path(strategy.on_first(lambda: str(RunFolder.create(where, *names).path))))
        if not strategy.is_first:
            follow(run, checked, built, signals)
            return run, built
        remember(run.path)
        built.fingerprint = fingerprint(checked, built, request.allowed.root)
        lock = Lock(run.lock)
        try:
            run.write_status("running", created=time.time(), stamps=_stamps(checked, request))
            with ending(run):
                describe(run, checked, built, request)
                carry_out(run, Journal(run.journal), checked, built, request, signals, f"run {run.path}")
        finally:
            lock.release()
    return run, built


@contextmanager
def ending(run: RunFolder) -> Iterator[None]:
    """A run that is ended before its first step, by whatever it is, has a final status too."""
    try:
        yield
    except BaseException as error:
        if run.read_status().get("state") == "running":
            state = "interrupted" if isinstance(error, (KeyboardInterrupt, Interrupted)) else "failed"
            told = str(error) or ("before the first step" if state == "interrupted" else type(error).__name__)
            with suppress(StorageError):  # what ended the run is told, and not that the disk refuses this as well
                run.write_status(state, reason=told.splitlines()[0])
        raise


def carry_out(
    run: RunFolder, journal: Journal, checked: Checked, built: Built, request: Request, signals: Signals, head: str
) -> None:
    """Train with everything around it: courier, signals, display, and a final status whatever happens.

    Args:
        signals: entered; from here on they are answered between steps.
        head: the first line that is shown.
    """
    signals.interruptible = False
    config, trainer = checked.config, built.trainer
    direction = trainer.monitor.direction
    checkpoints = Checkpoints(run.checkpoints, config.checkpoints.keep_last, config.checkpoints.keep_best, direction)
    every = config.logging.system
    courier = None
    if config.loggers or every:
        courier = launch.Courier(run.path, request.allowed, system=every.amount if every else None)
    output = Output(run.output, request.console, run.try_log)
    news = {"loggers": courier.look} if courier else {}
    display = Display(request.console, trainer.updates, keep=output.line, **news)
    display.note(head)
    for place, what in unsaved(trainer).items():
        display.note(f"warning: {place} is a {what}")
    settings = (config.logging, config.checkpoints)
    labels = tuple(built.data.info.class_names)
    writer = Writer(run, journal, checkpoints, settings, display, signals, labels)
    writer.fingerprint = {"config": checked.complete, **built.fingerprint}
    loaders = [loader for loader in (built.data.train, built.data.validation, built.data.test) if loader is not None]
    for loader in loaders:
        loader.tell = display.note
    signals.last_words = writer.stopped_at_once
    display.start(trainer.progress)
    output.take()
    try:
        trainer.train(writer)
    except BaseException as error:
        shown = request.strategy.heard(error) or explained(error, trainer, run)
        state = "interrupted" if isinstance(shown, Interrupted) else "failed"
        output.give_back()  # begun lines first
        if shown is not error:
            output.line("".join(traceback.format_exception(error)).rstrip())
        output.line(f"{state}: {shown}")
        try:
            writer.recorder.flush()
        except Exception as lost:  # a full disk, or a device that is gone
            display.note(f"warning: the records of the last steps are lost: {lost}")
        try:
            writer.write_status(trainer, state, reason=str(shown).splitlines()[0])
            run.write_log(f"{state}: {shown}")
        except StorageError as full:  # told beside what stopped the run, and not in its place
            display.note(f"warning: {full.message}")
        raise shown from (error if shown is not error else error.__cause__)
    else:
        output.give_back()
        writer.write_status(trainer, "completed", reason=_reason(trainer))
    finally:
        signals.last_words = lambda: f"the run is saved: {run.path}"
        output.give_back()
        display.close()
        journal.close()
        for loader in loaders:
            loader.close()
        if courier is not None:
            _wait(courier, run, display, signals)
        output.close()


def _wait(courier: launch.Courier, run: RunFolder, display: Display, signals: Signals) -> None:
    """Let the courier deliver the rest, for a while; say what is left and how to send it. A signal shortens it."""
    try:
        signals.interruptible = True
        backlogs = courier.wait(max(_AT_LEAST, _COURIER_SECONDS - (time.monotonic() - display.stepped)))
    except Stopped:
        backlogs = courier.wait(0.0)
    finally:
        signals.interruptible = False
    display.ask_loggers()
    for name, backlog in backlogs.items():
        if str(backlog):
            display.note(f"{name}: {backlog} are not delivered yet; send them with: assay sync {run.path}")
        if backlog.cursor.refused:
            display.note(f"{name}: {backlog.cursor.refused} were refused; see {run.courier / name}.refused.jsonl")


def describe(run: RunFolder, checked: Checked, built: Built, request: Request) -> None:
    """Write all that says what this run is, before its first step."""
    complete = {**checked.complete, "host": {**checked.complete["host"], **built.host}}
    files = tuple(Path(file) for file in sorted({place.file for place in checked.places.values()}))
    with storing(run.path):
        write_json(run.config, complete)
        write_json(run.origin, origins(checked))
        facts = {**environment(request.allowed.root), "device": built.host["device"]}
        write_json(run.environment, {**facts, "fingerprint": built.fingerprint})
        write_json(run.transforms, concealed_in({"dataset": asdict(built.data.info), **built.data.describe()}))
        known = read_json(run.measurements) if run.measurements.is_file() else {}  # of steps before a resume
        write_json(run.measurements, {**known, **measurements(built.trainer)})
        snapshot_code(request.allowed.root, run.code, tuple(file for file in files if file.is_file()))
        run.seal()


def _stamps(checked: Checked, request: Request) -> list[str]:
    """What a reader of this run's figures must know."""
    stamps = []
    if checked.config.allow_test_selection:
        stamps.append("the test split may have chosen the best model")
    if request.objects:
        names = ", ".join(sorted(request.objects))
        stamps.append(f"not reproducible from its folder alone: objects of Python were passed ({names})")
    return stamps


def _reason(trainer: Any) -> str:
    if trainer.monitor.exhausted:
        patience = trainer.monitor.early_stopping.patience
        return f"early stopping: {patience} validations without an improvement of {trainer.monitor.name}"
    progress = trainer.progress
    if progress.epoch < trainer.epochs:
        return f"max_steps: {progress.step} updates"
    return f"{trainer.epochs} epoch{'s' if trainer.epochs > 1 else ''}"
