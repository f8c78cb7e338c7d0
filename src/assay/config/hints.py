"""What users call things, and where they look for them, that stand elsewhere or have another name here."""

from __future__ import annotations

from collections.abc import Collection

from assay.config.components import nearest

__all__ = ["elsewhere", "meant", "synonyms"]

# Settings that users look for outside the component whose arguments they are.
_ELSEWHERE = {
    "epochs": "trainer.args.epochs",
    "max_steps": "trainer.args.max_steps",
    "monitor": "trainer.args.monitor",
    "early_stopping": "trainer.args.early_stopping",
    "patience": "trainer.args.early_stopping.patience",
    "accumulate": "trainer.args.accumulate",
    "clip": "trainer.args.clip",
    "ema": "trainer.args.ema",
    "lr": "optimizer.args.lr",
    "momentum": "optimizer.args.momentum",
    "weight_decay": "optimizer.args.weight_decay",
    "betas": "optimizer.args.betas",
    "batch_size": "data.loader.args.batch_size",
    "workers": "data.loader.args.workers",
    "dataset": "data.dataset",
    "loader": "data.loader",
    "split": "data.split",
    "transforms": "data.transforms",
    "root": "data.dataset.args.root",
    "label_smoothing": "loss.args.label_smoothing",
    "seed": "seed",
    "device": "host.device",
    "precision": "host.precision",
    "compile": "host.compile",
    "weights": "model.weights",
    **dict.fromkeys(("tensorboard", "tensorboardX", "wandb", "mlflow", "sacred", "neptune", "comet"), "loggers"),
}

# Names of the same thing in other programs.
_SYNONYMS = {
    "learning_rate": ("lr",),
    "rate": ("lr",),
    "wd": ("weight_decay",),
    "l2": ("weight_decay",),
    "decay": ("weight_decay", "gamma"),
    "beta1": ("betas",),
    "beta2": ("betas",),
    "epsilon": ("eps",),
    "num_workers": ("workers",),
    "n_workers": ("workers",),
    "bs": ("batch_size",),
    "train_batch_size": ("batch_size",),
    "prefetch_factor": ("prefetch",),
    "persistent_workers": ("persistent",),
    "max_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "early_stop": ("early_stopping",),
    "grad_clip": ("clip",),
    "clip_grad": ("clip",),
    "clip_grad_norm": ("clip",),
    "max_grad_norm": ("clip",),
    "gradient_clip_val": ("clip",),
    "accumulate_grad_batches": ("accumulate",),
    "gradient_accumulation_steps": ("accumulate",),
    "dropout_rate": ("dropout",),
    "drop_rate": ("dropout",),
    "hidden_sizes": ("hidden",),
    "hidden_dim": ("hidden",),
    "topk": ("k", "top_k"),
    "top_k": ("k",),
    "data_dir": ("root",),
    "path": ("root",),
    "prob": ("p",),
    "probability": ("p",),
    "step": ("step_size",),
    "smoothing": ("label_smoothing",),
    "random_seed": ("seed",),
    "gpu": ("device",),
    "gpus": ("device",),
    "amp": ("precision",),
    "name": ("type",),
    "class": ("type",),
    "cls": ("type",),
    "class_path": ("type",),
    "_target_": ("type",),
    "arch": ("type", "model"),
    "params": ("args",),
    "kwargs": ("args",),
    "init_args": ("args",),
    "arguments": ("args",),
    "options": ("args",),
    "criterion": ("loss",),
    "loss_function": ("loss",),
    "lr_scheduler": ("schedulers",),
    "scheduler": ("schedulers",),
    "network": ("model",),
    "net": ("model",),
    "data_loader": ("loader",),
    "callbacks": ("trainer",),
    "run_name": ("name",),
    "project_name": ("project",),
    "save_dir": ("folder",),
    "output_dir": ("folder",),
    "checkpoint": ("checkpoints",),
    "pattern": ("match",),
    "regex": ("match",),
    "val": ("validation",),
    "dev": ("validation",),
    "transform": ("transforms",),
    "keep": ("keep_last",),
    "interval": ("every",),
}


def meant(name: str, known: Collection[str]) -> str:
    """The one of `known` that `name` most likely stands for, or an empty string.

    >>> meant("learning_rate", ["lr", "momentum"]), meant("momentun", ["lr", "momentum"])
    ('lr', 'momentum')
    """
    return next((other for other in synonyms(name) if other in known), "") or nearest(name, known)


def synonyms(name: str) -> tuple[str, ...]:
    """What is called `name` in other programs."""
    return _BY_LETTERS.get(_letters(name), ())


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


_BY_LETTERS = {_letters(name): others for name, others in _SYNONYMS.items()}


def elsewhere(name: str) -> str:
    """The path at which a configuration has a setting of this name, or an empty string."""
    return _ELSEWHERE.get(name) or _ELSEWHERE.get(meant(name, _ELSEWHERE) if _letters(name) in _BY_LETTERS else "", "")
