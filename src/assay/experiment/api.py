"""assay from Python: `train` or `check` a configuration, `open` a run.

What imports torch is imported inside: a mistake in a configuration is told before that, and figures are read without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.config.check import Checked
from assay.config.components import Allowed, project_root
from assay.config.load import load
from assay.errors import ConfigError, DataError, Problem
from assay.experiment.checking import checked, examined
from assay.experiment.objects import SLOTS, with_objects
from assay.store.journal import read
from assay.store.run_folder import RunFolder, find_run
from assay.trainer.signals import Signals
from assay.utils.atomic import read_json
from assay.utils.streams import enduring

if TYPE_CHECKING:
    from torch import nn

    from assay.experiment.build import Built
    from assay.experiment.preflight import Report
    from assay.experiment.replaying import Replayed
    from assay.experiment.resume_check import ResumeCheck

__all__ = ["Run", "check", "open", "resume_check", "train"]


@enduring()
def train(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    resume: str | Path | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    allow_change: Sequence[str] = (),
    require_exact: bool = False,
    preflight: bool = True,
    quiet: bool = False,
    **components: Any,
) -> Run:
    """Train what a configuration describes and return the run.

    Args:
        config: a file, or a mapping of the same shape, in which classes and objects may stand for names.
        resume: a run to go on with, from its newest checkpoint; `config` may then be left out.
        overrides: texts such as `optimizer.args.lr=0.1`.
        allow: packages outside the project that components may come from.
        allow_change: keys that may differ on resume although the run is then no longer one run; `data`: the dataset.
        require_exact: refuse a resume that cannot be the same to the bit, whatever the reason.
        preflight: take a step on paper and look at a real batch first, as `check` does.
        quiet: print nothing.
        components: `dataset`, `loader`, `model`, `loss`, `metrics`, `optimizer`, `schedulers`, `trainer` or `loggers`:
            a class, an object, a name, or `{"type": ..., "args": {...}}` with a class as type (a list of them for
            metrics, schedulers and loggers) in the place of what the configuration says.

    Raises:
        AssayError: one of its subclasses says what; this function never ends the process.
    """
    allowed = Allowed(project_root(), tuple(allow))
    before = find_run(str(resume)) if resume is not None else None
    with Signals(interruptible=True):  # torch takes seconds to import
        whole, objects = _whole("train", config, before, overrides, allowed, components)

        from rich.console import Console

        from assay.experiment import resuming
        from assay.experiment.relaunch import begun
        from assay.experiment.training import Request, start
        from assay.trainer.strategy.joining import joined

    with joined(whole.config.host) as strategy:
        console = Console(quiet=quiet or not strategy.is_first)
        settings = tuple(allow_change), preflight, require_exact, strategy
        request = Request(whole, allowed, console, objects, *settings)
        again = begun(strategy)
        if again is not None:
            before = RunFolder(again)
            if before.read_status().get("state") == "completed":
                return Run(before, allowed, objects)
        folder, built = start(request) if before is None else resuming.resume(before, request)
    return Run(folder, allowed, objects, built)


def check(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    **components: Any,
) -> Report:
    """Find out whether a run would start, and how large it is; the arguments are those of `train`.

    Raises:
        AssayError: with everything that is wrong.
    """
    whole, _ = _whole("check", config, None, overrides, Allowed(project_root(), tuple(allow)), components)

    from assay.experiment.preflight import preflight, report

    return report(preflight(whole))


def resume_check(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    steps: int | None = None,
    kill_after: int | None = None,
    workers: int | None = None,
    keep: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> ResumeCheck:
    """Find out whether a training that is killed and resumed is to the bit the one that is not.

    Args:
        config, overrides, allow: as for `train`; the trainings are processes of their own, so no objects can be given.
        steps: updates of each training; None: two epochs, from 12 to 40.
        kill_after: the update after which the second one is killed; None: a little after the middle.
        workers: loader workers of the resumed part; None: as many as the configuration says.
        keep: leave the two runs where they are.
        tell: is given what is about to be done.

    Raises:
        AssayError: of the configuration, or of a training that failed of itself.
    """
    whole, _ = _whole("resume_check", config, None, overrides, Allowed(project_root(), tuple(allow)), {})

    from assay.experiment import resume_check as checking

    return checking.resume_check(
        whole, steps=steps, kill_after=kill_after, workers=workers, allow=allow, keep=keep, tell=tell
    )


def open(run: str | Path, *, allow: Sequence[str] = (), **components: Any) -> Run:
    """A run on disk: a path, the name of its folder, or `last`.

    Args:
        run: which one.
        allow: packages outside the project that components may come from.
        components: as for `train`; needed again where objects were passed there.

    Raises:
        ConfigError: there is no such run.
    """
    folder = find_run(str(run))
    allowed = Allowed(project_root(), tuple(allow))
    _, objects = with_objects({}, components, allowed)
    return Run(folder, allowed, objects)


class Run:
    """What a run left: its configuration, figures, files and models."""

    def __init__(
        self, folder: RunFolder, allowed: Allowed, objects: Mapping[str, Any] | None = None, built: Built | None = None
    ) -> None:
        self.folder = folder
        self.path = folder.path
        self._allowed = allowed
        self._objects = dict(objects or {})
        self._built = built

    def __repr__(self) -> str:
        return f"<run {self.path}: {self.status.get('state')}>"

    @property
    def config(self) -> dict[str, Any]:
        """The complete configuration, as it was run."""
        return self.folder.read_config()

    @property
    def status(self) -> dict[str, Any]:
        """State, reason, position, and the best and last values."""
        return self.folder.read_status()

    @property
    def best(self) -> dict[str, float]:
        """Every value measured at the best step, by its full name."""
        return dict(self.status.get("values", {}).get("best", {}))

    @property
    def last(self) -> dict[str, float]:
        """The newest value of every name."""
        return dict(self.status.get("values", {}).get("last", {}))

    @property
    def files(self) -> list[Path]:
        """Every file of the run folder."""
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    def journal(self) -> Any:
        """All records as a table: a pandas DataFrame where pandas is installed, else a NumPy structured array.

        Columns are id, time, phase, epoch, step, samples and one for every name; NaN where a record has no such value.
        """
        import numpy as np

        records = list(read(self.folder.journal))
        names = sorted({name for record in records for name in record.values})
        fixed = [("id", "i8"), ("time", "f8"), ("phase", "U16"), ("epoch", "i8"), ("step", "i8"), ("samples", "i8")]
        rows = [
            (r.id, r.time, r.phase, r.epoch, r.step, r.samples, *(r.values.get(n, float("nan")) for n in names))
            for r in records
        ]
        table = np.array(rows, dtype=[*fixed, *((name, "f8") for name in names)])
        try:
            import pandas
        except ImportError:
            return table
        return pandas.DataFrame.from_records(table)

    def model(self, checkpoint: str = "best") -> nn.Module:
        """The network with the weights of a checkpoint (`best`, `last` or `step-…`), on the CPU, in evaluation mode.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        from assay.data.datasets.base import DatasetInfo
        from assay.experiment.build import build_network
        from assay.model.architectures.weights import load_weights
        from assay.model.states import make_buffers
        from assay.trainer.checkpoint import Checkpoints
        from assay.trainer.writer import evaluated_weights
        from assay.utils.devices import dtype_of

        found = Checkpoints(self.folder.checkpoints).load(checkpoint)
        weights = evaluated_weights(found)
        facts = read_json(self.folder.transforms)["dataset"]
        facts = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
        checked = self._checked()
        network = build_network(checked, DatasetInfo(**facts)).to(dtype=dtype_of(checked.config.host.precision))
        make_buffers(network, weights)
        load_weights(network, weights, str(found.path))
        network.eval()  # not its result: a model whose own train() returns nothing is a model all the same
        return network

    def test(self, checkpoint: str = "best") -> dict[str, float]:
        """Measure a checkpoint on the test split; nothing of the run is changed.

        Raises:
            DataError: the dataset has no test split.
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        from assay.experiment.build import build
        from assay.model.architectures.weights import load_weights
        from assay.model.states import make_buffers
        from assay.trainer.checkpoint import Checkpoints
        from assay.trainer.writer import evaluated_weights

        found = Checkpoints(self.folder.checkpoints).load(checkpoint)
        built = build(self._checked())
        trainer = built.trainer
        if built.data.test is None:
            raise DataError("the dataset has no test split", hint="set data.split.test to hold some samples back")
        weights = evaluated_weights(found, trainer.device)
        make_buffers(trainer.evaluated_model, weights)
        load_weights(trainer.evaluated_model, weights, str(found.path))
        trainer.progress.step = found.step
        values = trainer.evaluate(built.data.test, "test").compute()
        return {f"test/{name}": value for name, value in values.items()}

    def replay(self, step: int | None = None, *, debug: bool = False) -> Replayed:
        """Make a step that failed again, from what was kept of it; nothing of the run is changed.

        Args:
            step: updates done before it; None: the last one that failed.
            debug: enter Python's debugger where it fails.

        Raises:
            ConfigError: no such step was kept.
            CheckpointError: what was kept is damaged.
        """
        from assay.experiment.replaying import replay

        return replay(self.folder, self._checked(), step, debug=debug)

    def _checked(self) -> Checked:
        return examined(self.folder.config, (), self._allowed, self._objects).checked()


def _whole(
    caller: str,
    config: str | Path | Mapping[str, Any] | None,
    before: RunFolder | None,
    overrides: Sequence[str],
    allowed: Allowed,
    components: Mapping[str, Any],
) -> tuple[Checked, dict[str, Any]]:
    """The configuration without mistakes, and the objects of Python that stand in it."""
    unknown = sorted(set(components) - set(SLOTS))
    if unknown:
        expected = ", ".join(SLOTS)
        problem = Problem(f"{caller}() has no argument {unknown[0]!r}", found=unknown[0], expected=expected)
        raise ConfigError.of(problem)
    source: Path | Mapping[str, Any] | None = Path(config) if isinstance(config, (str, Path)) else config
    objects: dict[str, Any] = {}
    if components or isinstance(source, Mapping):
        source, objects = with_objects(_as_mapping(source, before), components, allowed)
    if before is not None:
        source = source or before.config
    elif source is None:
        raise ConfigError.of(Problem("no configuration is given", hint="--config=configs/runs/default.json"))
    return checked(examined(source, overrides, allowed, objects)), objects


def _as_mapping(source: Path | Mapping[str, Any] | None, before: RunFolder | None) -> Mapping[str, Any]:
    """A configuration that objects can be put into."""
    if isinstance(source, Mapping):
        return source
    if source is None:
        return before.read_config() if before is not None else {}
    return load(source).data
