"""Where each key of older systems lives here, and with which value.

Two are known: the template with `project_name`, `training` and `optimizer.lr_schedulers`, and the pytorch-template with
`arch`, `data_loader` and `lr_scheduler` that it came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from assay.config.components import Kind
from assay.config.document import At
from assay.config.monitored import translated
from assay.config.naming import same_component
from assay.utils.credentials import credentials_of

__all__ = ["RULES", "Answer", "Old"]


@dataclass(frozen=True)
class Answer:
    """Where a value lives here (None: nowhere), what it is there, and what else is to be known."""

    to: At | None
    value: Any = None
    note: str = ""


@dataclass(frozen=True)
class Old:
    """The configuration of an older system, and the names that there are here."""

    data: Mapping[str, Any]
    kinds: Mapping[str, Kind]

    def get(self, *at: str | int) -> Any:
        """The value at a path, None where there is none."""
        found: Any = self.data
        for part in at:
            found = dict(enumerate(found)) if isinstance(found, list) else found
            if not isinstance(found, Mapping) or part not in found:
                return None
            found = found[part]
        return found

    def name(self, kind: str, written: Any, example: str) -> tuple[Any, str]:
        """A component's name here; where it has none, that of a class of one's own."""
        if not isinstance(written, str):
            return written, ""
        kinds = self.kinds[kind]
        stem = re.sub(r"(Data)?Loader$|Transformations$|^Epoch|^Batch", "", written)
        found = next((same for text in (written, stem) if (same := same_component(text, kinds.names()))), "")
        if found:
            return found, ""
        own = f"{example}:{written}"
        return own, f"{written!r} is no {kind} of assay: name a class of your own by its path, as in {own!r}"


Handler = Callable[[At, Any, Old], Answer]


def _to(*to: str | int, note: str = "") -> Handler:
    return lambda at, value, old: Answer(to, value, note)


def _gone(note: str) -> Handler:
    return lambda at, value, old: Answer(None, None, note)


def _under(*to: str | int) -> Handler:
    """The same name in another section."""
    return lambda at, value, old: Answer((*to, at[-1]), value)


def _folder(name: str) -> Handler:
    def handler(at: At, value: Any, old: Old) -> Answer:
        if not isinstance(value, str) or not value:
            return Answer(None, None, f"leave it out, or say {name!r}")
        return Answer((name,), re.sub(r"[^A-Za-z0-9._-]", "_", value).lstrip(".-")[:80] or "run")

    return handler


def _every(*to: str) -> Handler:
    return lambda at, value, old: Answer(to, f"{value}ep" if type(value) is int and value > 0 else value)


def _dataset(at: At, value: Any, old: Old) -> Answer:
    if value in old.kinds["loader"].names():
        return Answer(at, value)
    name, note = old.name("dataset", value, "mylab.data")
    return Answer(("data", "dataset", "type"), name, note)


def _model(at: At, value: Any, old: Old) -> Answer:
    name = old.get(*at[:-1], "args", "model_name") if value == "TorchvisionModel" else value
    name, note = old.name("model", name, "mylab.models")
    return Answer(("model", "type"), name, note)


def _loss(at: At, value: Any, old: Old) -> Answer:
    if value == "TorchLoss":
        value = old.get(*at[:-1], "args", "l_name")
    name, note = old.name("loss", value, "mylab.losses")
    if value == "nll_loss" and old.name("model", old.get("arch", "type"), "")[0] in list(old.kinds["model"].table):
        name, note = "CrossEntropyLoss", "assay's models give scores, not log-probabilities"
    return Answer(("loss", "type"), name, note)


def _metric(at: At, value: Any, old: Old) -> Answer:
    if isinstance(value, Mapping):
        value = value.get("type")
    if value == "top_k_acc":
        return Answer(("metrics", at[1]), {"type": "TopKAccuracy", "args": {"k": 3}})
    name, note = old.name("metric", value, "mylab.metrics")
    return Answer(("metrics", at[1], "type"), name, note)


def _trainer(at: At, value: Any, old: Old) -> Answer:
    name, note = old.name("trainer", value, "mylab.trainers")
    return Answer(("trainer", "type"), name, note)


def _number(at: At) -> int:
    """Which scheduler it is: old files have a list of them, or a single one."""
    return next((part for part in at if isinstance(part, int)), 0)


def _scheduler(at: At, value: Any, old: Old) -> Answer:
    if value == "TorchScheduler":
        value = old.get(*at[:-1], "args", "name")
    if isinstance(value, str) and value.startswith("Dynamic"):
        value = "DynamicLR"
    name, note = old.name("scheduler", value, "mylab.schedulers")
    return Answer(("schedulers", _number(at), "type"), name, note)


def _scheduler_argument(at: At, value: Any, old: Old) -> Answer:
    return Answer(("schedulers", _number(at), "args", at[-1]), value)


def _priority(at: At, value: Any, old: Old) -> Answer:
    return Answer(("schedulers", _number(at), "priority"), value)


def _values(at: At, value: Any, old: Old) -> Answer:
    epochs, rates = old.get(*at[:-1], "epochs"), old.get(*at[:-1], "lr_values")
    pairs = zip(epochs, rates, strict=False) if isinstance(epochs, list) and isinstance(rates, list) else ()
    return Answer(("schedulers", _number(at), "args", "values"), {str(epoch): rate for epoch, rate in pairs})


def _monitor(at: At, value: Any, old: Old) -> Answer:
    if value in ("off", None, ""):
        return Answer(None, None, "leave it out: the best is chosen by min validation/loss unless said otherwise")
    mode = old.get(*at[:-1], "monitor_mode")
    text = f"{mode} {value}" if mode in ("min", "max") else str(value)
    return Answer(("trainer", "args", "monitor"), translated(text))


def _patience(at: At, value: Any, old: Old) -> Answer:
    to = ("trainer", "args", "early_stopping", "patience")
    return Answer(to, value, "counts validations without an improvement")


def _device(at: At, value: Any, old: Old) -> Answer:
    """From whatever says how many devices, or which."""
    settings = ("host", "gpu_settings")
    ids, chosen = old.get(*settings, "custom_gpu", "ids"), old.get(*settings, "custom_gpu", "do")
    if "multiple_gpus" in at and not old.get(*settings, "multiple_gpus", "do"):
        return Answer(None, None, "leave it out")
    if "custom_gpu" in at and chosen and isinstance(ids, list) and len(ids) == 1:
        return Answer(("host", "device"), f"cuda:{ids[0]}")
    if at == ("n_gpu",) and value == 0:
        return Answer(("host", "device"), "cpu")
    if at == ("gpu",) and isinstance(value, int):
        return Answer(("host", "device"), f"cuda:{value}")
    return Answer(("host", "device"), "auto", "one device; for several, start it under torchrun")


def _testing(at: At, value: Any, old: Old) -> Answer:
    every = old.get("testing", "test_epochs_interval")
    if not value:
        return Answer(("testing", "every"), None, "null: tested once, with the best weights at the end")
    return Answer(("testing", "every"), f"{every}ep" if isinstance(every, int) and every > 0 else "1ep")


def _interval(at: At, value: Any, old: Old) -> Answer:
    return _testing(at, old.get("testing", "do") is not False, old)


def _batches(at: At, value: Any, old: Old) -> Answer:
    return Answer(("logging", "every"), "1ba" if value else "1ep")


def _images(at: At, value: Any, old: Old) -> Answer:
    return Answer(("logging", "images"), 8 if value else 0, "how many")


def _system(at: At, value: Any, old: Old) -> Answer:
    seconds = old.get("logging", "infrastructure_logs", "config", "time")
    if not old.get("logging", "infrastructure_logs", "do"):
        return Answer(("logging", "system"), None, "null: not measured")
    return Answer(("logging", "system"), f"{seconds}s" if isinstance(seconds, int) and seconds > 0 else "5s")


def _logger(name: str, package: str, arguments: Mapping[str, str] = MappingProxyType({})) -> Handler:
    """Args: arguments: of the logger, each with its old key below `logging`."""

    def handler(at: At, value: Any, old: Old) -> Answer:
        if at[1] == "infrastructure_logs":
            value = value and old.get("logging", "infrastructure_logs", "do")
        if not value and name == "TensorBoardLogger":
            return Answer(("loggers",), [])
        if not value:
            return Answer(None, None, f"leave {name!r} out of loggers")
        if name not in old.kinds["logger"].names():
            return Answer(None, None, f'in loggers, as a class of your own for {package}: "mylab.loggers:{name}"')
        found = {key: old.get("logging", *path.split(".")) for key, path in arguments.items()}
        variable = f"${{env:{name.removesuffix('Logger').upper()}_URL}}"
        args = {
            key: variable if any(credentials_of(text)) else text.rstrip("/")
            for key, text in found.items()
            if isinstance(text, str) and text
        }
        return Answer(("loggers",), [{"type": name, "args": args} if args else name])

    return handler


_ELASTIC = "infrastructure_logs.config.elk.elastic"
_FROM_DATA = _gone("leave it out: it is taken from the dataset")
_SHUFFLE = _gone("leave it out: training data are shuffled in every epoch, the others never")
_PINNED = _gone("leave it out: memory is pinned where that helps")
_QUIET = _gone("leave it out; `--quiet` prints errors only")
_OF_LOGGER = _gone("an argument of that logger, where it is in loggers")

_LOADER: dict[str, Handler] = {
    "args.data_dir": _to("data", "dataset", "args", "root"),
    "args.batch_size": _to("data", "loader", "args", "batch_size"),
    "args.num_workers": _to("data", "loader", "args", "workers"),
    "args.validation_split": _to("data", "split", "validation"),
    "args.shuffle": _SHUFFLE,
    "args.training": _gone("leave it out: every split is opened for what it is for"),
    "args.transformations": _gone("list the transforms of each split in data.transforms.train and .test"),
    **{f"args.{name}": _under("data", "loader", "args") for name in ("workers", "drop_last", "prefetch", "persistent")},
    "args.*": _under("data", "dataset", "args"),
    "kwargs.pin_memory": _PINNED,
    "kwargs.num_workers": _to("data", "loader", "args", "workers"),
    "kwargs.prefetch_factor": _to("data", "loader", "args", "prefetch"),
    "kwargs.persistent_workers": _to("data", "loader", "args", "persistent"),
    "kwargs.*": _under("data", "loader", "args"),
    "kwargs": _gone("leave it out"),
    "type": _dataset,
}
# Older versions of the pytorch-template have no `args`.
_FLAT = {key.removeprefix("args."): rule for key, rule in _LOADER.items() if key.startswith("args.")}
_MODEL: dict[str, Handler] = {
    "type": _model,
    "args.num_classes": _FROM_DATA,
    "args.num_channels": _FROM_DATA,
    "args.in_channels": _FROM_DATA,
    "args.input_size": _FROM_DATA,
    "args.model_name": _to("model", "type"),
    "args.model_args.pretrained": lambda at, value, old: (
        Answer(("model", "args", "weights"), "DEFAULT") if value else Answer(None, None, "leave it out")
    ),
    "args.model_args.*": _under("model", "args"),
    "args.*": _under("model", "args"),
}
_SCHEDULER: dict[str, Handler] = {
    "type": _scheduler,
    "args.priority": _priority,
    "args.name": _scheduler,
    "args.epochs": _values,
    "args.lr_values": _values,
    "args.*": _scheduler_argument,
}


def _in(section: str, rules: Mapping[str, Handler]) -> dict[str, Handler]:
    return {f"{section}.{key}": rule for key, rule in rules.items()}


# By the path of the old key: `*` is any one part, and the first that matches wins.
RULES: dict[str, Handler] = {
    "project_name": _folder("project"),
    "run_name": _folder("name"),
    "n_gpu": _device,
    "cuda": _device,
    "gpu": _device,
    "device_ids": _device,
    **dict.fromkeys(
        ("visualization.tensorboard", "visualization.tensorboardX"), _logger("TensorBoardLogger", "TensorBoard")
    ),
    "visualization.*": _OF_LOGGER,
    "host.name": _gone("leave it out: the machine is recorded in environment.json"),
    "host.gpu_settings.*.*": _device,
    **_in("data.loader", _LOADER),
    **_in("data_loader", _LOADER),
    **_in("data_loader", _FLAT),
    "validation.validation_split": _to("data", "split", "validation"),
    "validation.shuffle": _SHUFFLE,
    "arch": _model,
    **_in("arch", _MODEL),
    **_in("model.arch", _MODEL),
    "loss": _loss,
    "model.loss_function": _loss,
    "model.loss_function.type": _loss,
    "model.loss_function.args.l_name": _to("loss", "type"),
    "model.loss_function.args.bargs.*": _under("loss", "args"),
    "model.loss_function.args.kwargs.*": _under("loss", "args"),
    "model.loss_function.args.bargs": _gone("arguments belong in loss.args"),
    "model.loss_function.args.kwargs": _gone("arguments belong in loss.args"),
    "model.loss_function.args.*": _under("loss", "args"),
    "optimizer.opt.type": _to("optimizer", "type"),
    "optimizer.opt.args.*": _under("optimizer", "args"),
    "optimizer_type": _to("optimizer", "type"),
    "optimizer.lr": _under("optimizer", "args"),
    "optimizer.weight_decay": _under("optimizer", "args"),
    "optimizer.momentum": _under("optimizer", "args"),
    "optimizer.betas": _under("optimizer", "args"),
    "optimizer.amsgrad": _under("optimizer", "args"),
    **_in("optimizer.lr_schedulers.*", _SCHEDULER),
    **_in("lr_scheduler", _SCHEDULER),
    "lr_scheduler_type": _scheduler,
    "lr_scheduler_freq": _gone('leave it out: a scheduler steps every epoch, or every update with `"unit": "batch"`'),
    "lr_scheduler.*": _scheduler_argument,
    "metrics.*.type": _metric,
    "metrics.*": _metric,
    "training.trainer.type": _trainer,
    "training.trainer.args.*": _under("trainer", "args"),
    **{
        f"{section}.{key}": rule
        for section in ("training", "trainer")
        for key, rule in {
            "epochs": _to("trainer", "args", "epochs"),
            "save_dir": _to("folder"),
            "save_period": _every("checkpoints", "every"),
            "save_freq": _every("checkpoints", "every"),
            "verbosity": _QUIET,
            "log_step": lambda at, value, old: Answer(("logging", "every"), f"{value}ba" if value else "1ep"),
            "log_verbosity": _QUIET,
            "monitor": _monitor,
            "monitor_mode": _gone('it stands in trainer.args.monitor: "min …" or "max …"'),
            "early_stop": _patience,
            "tensorboard": _logger("TensorBoardLogger", "TensorBoard"),
            "tensorboardX": _logger("TensorBoardLogger", "TensorBoard"),
        }.items()
    },
    "testing.do": _testing,
    "testing.test_epochs_interval": _interval,
    "testing.test_batch_size": _gone("leave it out: data.loader.args.batch_size holds for every split"),
    "logging.index_batches": _batches,
    "logging.log_params": _to("logging", "histograms"),
    "logging.log_train_images": _images,
    "logging.log_test_images": _images,
    "logging.tensorboard_logs.do": _logger("TensorBoardLogger", "TensorBoard"),
    "logging.tensorboard_logs.*": _OF_LOGGER,
    "logging.sacred_logs.do": _logger(
        "SacredLogger", "Sacred", {"mongo_url": "sacred_logs.mongo_url", "database": "sacred_logs.db_name"}
    ),
    "logging.sacred_logs.*": _OF_LOGGER,
    "logging.wandb_logs.do": _logger("WandbLogger", "Weights & Biases"),
    "logging.wandb_logs.*": _OF_LOGGER,
    "logging.neptune_logs.do": _logger("NeptuneLogger", "Neptune"),
    "logging.neptune_logs.*": _OF_LOGGER,
    "logging.infrastructure_logs.do": _system,
    "logging.infrastructure_logs.config.time": _system,
    "logging.infrastructure_logs.config.save_dir": _gone("leave it out: it is system.jsonl in the run's folder"),
    "logging.infrastructure_logs.config.metrics": _gone("leave it out: all that the machine tells is measured"),
    "logging.infrastructure_logs.config.elk": _logger(
        "ElasticLogger", "Elasticsearch", {"url": f"{_ELASTIC}.host", "index": f"{_ELASTIC}.index.name"}
    ),
    "logging.infrastructure_logs.*": _OF_LOGGER,
}
