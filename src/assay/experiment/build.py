"""From a checked configuration to the objects of a training."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.check import Checked
from assay.data.datasets.base import DatasetInfo
from assay.data.splits import Splits, make_loaders
from assay.errors import AssayError, ConfigError, Problem
from assay.model.architectures.building import build_model
from assay.model.architectures.weights import load_weights
from assay.model.metrics.building import build_metrics
from assay.schedulers.sequence import Scheduled
from assay.store.run_folder import find_run
from assay.trainer.base import BaseTrainer
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.optimizer import build_optimizer
from assay.trainer.state import Parts
from assay.trainer.writer import evaluated_weights
from assay.utils.devices import choose_device, choose_memory_format, set_arithmetic
from assay.utils.seeds import derive

__all__ = ["Built", "build", "build_network", "placed"]


@dataclass
class Built:
    """A trainer and its data; `host` holds what was chosen where the configuration said auto."""

    trainer: BaseTrainer
    data: Splits
    host: dict[str, Any]


def build(checked: Checked) -> Built:
    """Build everything, in the order in which it depends on each other.

    Raises:
        AssayError: of what a component says; a configuration's mistake has its place in the file.
    """
    config, component = checked.config, checked.components
    device = choose_device(config.host.device)
    threads = set_arithmetic(config.host.threads, config.host.deterministic)
    with placed(checked):
        data = make_loaders(
            component["data", "dataset"],
            component["data", "loader"],
            {split: [bound.build() for bound in _all(checked, "data", "transforms", split)] for split in _SPLITS},
            config.data.split.validation,
            config.data.split.test,
            config.seed,
        )
        model = build_network(checked, data.info)
        if config.model.weights is not None:
            _start_from(model, config.model.weights)
        memory_format = choose_memory_format(config.host.memory_format, model)
        dtype = torch.float64 if config.host.precision == "float64" else torch.float32
        model.to(device=device, dtype=dtype)
        if memory_format is torch.channels_last:
            model.to(memory_format=torch.channels_last)
        loss = component["loss",].build(num_classes=data.info.classes).to(device=device, dtype=dtype)
        metrics = build_metrics(_all(checked, "metrics"), classes=data.info.classes)
        optimizer = build_optimizer(component["optimizer",], model, config.optimizer.groups)
        schedulers = [
            Scheduled(bound, entry.unit, entry.priority)
            for bound, entry in zip(_all(checked, "schedulers"), config.schedulers, strict=True)
        ]
        parts = Parts(
            seed=config.seed,
            device=device,
            precision=config.host.precision,
            memory_format=memory_format,
            compile=config.host.compile,
            model=model,
            loss=loss,
            metrics=metrics,
            optimizer=optimizer,
            schedulers=schedulers,
            train_data=data.train,
            validation_data=data.validation,
            test_data=data.test,
            validation_every=config.validation.every,
            testing_every=config.testing.every,
            logging_every=config.logging.every,
        )
        trainer = component["trainer",].build(parts)
    assert isinstance(trainer, BaseTrainer)
    layout = "channels_last" if memory_format is torch.channels_last else "contiguous"
    return Built(trainer, data, {"device": str(device), "threads": threads, "memory_format": layout})


_SPLITS = ("train", "validation", "test")


def build_network(checked: Checked, info: DatasetInfo) -> nn.Module:
    """The model with fresh weights: a function of the seed alone."""
    seed = checked.config.seed
    random.seed(derive(seed, "init", "python"))
    np.random.seed(derive(seed, "init", "numpy") & 0xFFFFFFFF)
    torch.manual_seed(derive(seed, "init"))
    model = build_model(checked.components["model",], info)
    if any(nn.parameter.is_lazy(parameter) for parameter in model.parameters()):
        # Lazy layers have no weights before they have seen a shape, and an optimizer needs them.
        with torch.no_grad():
            model.eval()(torch.zeros(2, *info.shape))
        model.train()
    return model


@contextmanager
def placed(checked: Checked) -> Iterator[None]:
    """Problems that name a key get the place of that key in the user's files; what else a part raises is one."""
    try:
        yield
    except (AssayError, MemoryError) as error:
        if not isinstance(error, ConfigError):
            raise
        raise _with_places(error, checked) from error.__cause__
    except (Exception, SystemExit) as error:  # a component's constructor may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        problem = Problem(
            f"a component cannot be built: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            found=f"raised at {last.filename}:{last.lineno}",
            hint="--debug shows the whole traceback",
        )
        raise ConfigError.of(problem) from error


def _with_places(error: ConfigError, checked: Checked) -> ConfigError:
    places = checked.places
    problems = []
    for problem in error.problems:
        path: tuple[str | int, ...]
        path = tuple(int(part) if part.isdigit() else part for part in problem.key.split(".") if part)
        while path and path not in places:
            path = path[:-1]
        problems.append(problem if problem.place or not path else replace(problem, place=places[path]))
    return ConfigError(problems)


def _all(checked: Checked, *path: str) -> list[Bound]:
    """The components of a list, in order."""
    found = {key[-1]: bound for key, bound in checked.components.items() if key[:-1] == path}
    return [found[number] for number in sorted(found)]


def _start_from(model: nn.Module, weights: str) -> None:
    if Path(weights).is_file():
        load_weights(model, Path(weights))
    else:
        run = find_run(weights)
        checkpoints = Checkpoints(run.checkpoints)
        load_weights(model, evaluated_weights(checkpoints.load("best")))
