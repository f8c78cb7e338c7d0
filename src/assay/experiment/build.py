"""From a checked configuration to the objects of a training."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from assay.config.binding import Bound
from assay.config.check import Checked
from assay.data.datasets.base import DatasetInfo
from assay.data.splits import Splits, make_loaders
from assay.errors import ConfigError
from assay.experiment.findings import Findings, placed
from assay.experiment.trials import try_optimizer, try_schedulers
from assay.model.architectures.building import build_model
from assay.model.architectures.weights import load_weights
from assay.model.metrics.building import build_metrics
from assay.schedulers.sequence import Scheduled
from assay.store.run_folder import find_run
from assay.trainer.base import BaseTrainer
from assay.trainer.checkpoint import Checkpoints
from assay.trainer.optimizer import build_optimizer, require_plain_step
from assay.trainer.state import Parts
from assay.trainer.strategy import Strategy
from assay.trainer.writer import evaluated_weights
from assay.utils.devices import choose_device, choose_memory_format, dtype_of, set_arithmetic
from assay.utils.distributed import place
from assay.utils.seeds import derive

__all__ = ["Built", "assemble", "build", "build_network", "listed", "open_data"]


@dataclass
class Built:
    """A trainer and its data.

    Args:
        host: what was chosen where the configuration said auto.
        fingerprint: what checkpoints say that they were made with.
    """

    trainer: BaseTrainer
    data: Splits
    host: dict[str, Any]
    fingerprint: dict[str, Any] = field(default_factory=dict)


def build(checked: Checked, data: Splits | None = None, strategy: Strategy | None = None) -> Built:
    """Build everything, in the order in which it depends on each other.

    Args:
        data: its loaders, where they are there already.
        strategy: how it is spread over processes.

    Raises:
        AssayError: of what a component says; the configuration's mistakes have their places in the file, and those of
            several components come together.
    """
    config = checked.config
    with placed(checked):
        device = choose_device(config.host.device, place().local_rank)
    threads = set_arithmetic(config.host.threads, config.host.deterministic, place().local_size)
    data = data or open_data(checked)
    trainer = assemble(checked, data, device, strategy=strategy)
    layout = "channels_last" if trainer.parts.memory_format is torch.channels_last else "contiguous"
    return Built(trainer, data, {"device": str(device), "threads": threads, "memory_format": layout})


def open_data(checked: Checked) -> Splits:
    """The loaders of the splits."""
    config, component = checked.config, checked.components
    with placed(checked):
        return make_loaders(
            component["data", "dataset"],
            component["data", "loader"],
            {split: [bound.build() for bound in listed(checked, "data", "transforms", split)] for split in _SPLITS},
            config.data.split.validation,
            config.data.split.test,
            config.seed,
        )


def assemble(
    checked: Checked,
    data: Splits,
    device: torch.device,
    *,
    on_paper: bool = False,
    strategy: Strategy | None = None,
) -> BaseTrainer:
    """The trainer with all that it works with.

    Args:
        on_paper: tensors are made under a mode in which they have a shape and no memory (`FakeTensorMode`): nothing is
            converted or compiled, since such parameters cannot be replaced; the model is made in its dtype.
    """
    config, component = checked.config, checked.components
    findings, strategy = Findings(checked), strategy or Strategy()
    dtype = dtype_of(config.host.precision)
    model = optimizer = None
    with findings.part():
        model = build_network(checked, data.info)
        if config.model.weights is not None:
            _start_from(model, config.model.weights)
        memory_format = choose_memory_format(config.host.memory_format, model)
        if not on_paper:
            model.to(dtype=dtype)
            if memory_format is torch.channels_last:
                model.to(memory_format=torch.channels_last)
            model = strategy.prepare(model, device, sync_batchnorm=config.host.sync_batchnorm)
    with findings.part():
        loss = component["loss",].build(num_classes=data.info.classes)
        loss = loss if on_paper else loss.to(device=device, dtype=dtype)
    with findings.part():
        metrics = build_metrics(listed(checked, "metrics"), classes=data.info.classes)
    with findings.part():
        if model is None:
            try_optimizer(component["optimizer",])
        else:
            optimizer = build_optimizer(component["optimizer",], model, config.optimizer.groups)
    schedulers = [
        Scheduled(bound, entry.unit, entry.priority)
        for bound, entry in zip(listed(checked, "schedulers"), config.schedulers, strict=True)
    ]
    if findings.problems:
        with findings.part():
            try_schedulers(schedulers, component["trainer",].args.get("epochs"))
    findings.tell()
    assert model is not None and optimizer is not None
    parts = Parts(
        seed=config.seed,
        device=device,
        precision=config.host.precision,
        memory_format=memory_format,
        compile=config.host.compile and not on_paper,
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
        strategy=strategy,
    )
    with placed(checked):
        trainer = component["trainer",].build(parts)
        assert isinstance(trainer, BaseTrainer)
        if not trainer.has_own_update:
            require_plain_step(optimizer)
    return trainer


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


def listed(checked: Checked, *path: str) -> list[Bound]:
    """The components of a list, in order."""
    found = {key[-1]: bound for key, bound in checked.components.items() if key[:-1] == path}
    return [found[number] for number in sorted(found)]


def _start_from(model: nn.Module, weights: str) -> None:
    if Path(weights).is_file():
        load_weights(model, Path(weights))
    else:
        try:
            run = find_run(weights)
        except ConfigError as error:
            message = f"there is neither a file {weights!r} nor a run of this name"
            raise ConfigError([replace(one, message=message, key="model.weights") for one in error.problems]) from None
        checkpoints = Checkpoints(run.checkpoints)
        load_weights(model, evaluated_weights(checkpoints.load("best")))
