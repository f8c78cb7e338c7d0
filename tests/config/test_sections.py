from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.config.check import check
from assay.config.components import Allowed
from assay.config.load import load
from assay.errors import ConfigError, Problem
from assay.experiment.catalog import KINDS

Tiny = Callable[..., dict[str, Any]]


def problems(config: dict[str, Any], *overrides: str) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        check(load(config, overrides), KINDS, Allowed(Path("/nowhere")))
    return {problem.key: problem for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("trainer.lr=3", "did you mean optimizer.args.lr?"),
        ("trainer.epochs=3", "arguments of the class belong in trainer.args.epochs"),
        ("trainer.max_epochs=3", "arguments of the class belong in trainer.args.epochs"),
        ("trainer.args.lr=3", "did you mean optimizer.args.lr?"),
        ("optimizer.args.batch_size=3", "did you mean data.loader.args.batch_size?"),
        ("optimizer.args.learning_rate=3", "did you mean 'lr'?"),
        ("optimizer.learning_rate=3", "arguments of the class belong in optimizer.args.lr"),
        ("learning_rate=3", "did you mean optimizer.args.lr?"),
        ("data.num_workers=3", "did you mean data.loader.args.workers?"),
        ("data.loader.args.num_workers=3", "did you mean 'workers'?"),
        ("data.loader.args.batchsize=3", "did you mean 'batch_size'?"),
        ("data.loader.dataset=Digits", "did you mean data.dataset?"),
        ("trainer.args.early_stopping={'x':1}", ""),
        ("model.name=ResNet", "did you mean model.type?"),
        ("model.params={}", "did you mean model.args?"),
        ("criterion=L1Loss", "did you mean loss?"),
        ("lr_scheduler=StepLR", "did you mean schedulers?"),
        ('loss={"MSELoss":{}}', 'write {"type": "MSELoss", "args": {…}}'),
        ("metrics=Accuracy", 'write ["Accuracy"]'),
        ('metrics={"type":"Accuracy"}', "write it as a list: [{…}]"),
        ('metrics={"Accuracy":{}}', 'write [{"type": name, "args": {…}}, …]'),
        ('loss=["L1Loss"]', "only one stands here: write it without the brackets"),
        ("optimizer.args=[0.1]", 'write {"name": value, …}, or leave it out'),
        ('host.compile="true"', "write true"),
        ("host.compile=0", "write false"),
        ("host.device=gpu", 'did you mean "cuda"?'),
        ("host.precision=fp16", 'did you mean "float16"?'),
        ("host.precision=bf16", 'did you mean "bfloat16"?'),
        ('checkpoints.keep_last="2"', "write 2 without quotes"),
        ("checkpoints.keep_last=2.0", "write 2"),
        ('loss={"type": null}', ""),  # it has no default, so leaving it out does not help
        ("host.precision=null", "leave it out"),
    ],
)
def test_hints_lead_to_where_it_belongs_and_how_to_write_it(setting: str, hint: str, tiny: Tiny) -> None:
    (problem,) = problems(tiny(), setting).values()
    assert problem.hint == hint


def test_a_missing_section_comes_with_an_example() -> None:
    found = problems({})
    assert set(found) == {"data", "model", "loss", "optimizer"}
    assert all(problem.hint == f'add "{key}": ' + problem.hint.partition(": ")[2] for key, problem in found.items())
    assert found["loss"].hint == 'add "loss": "CrossEntropyLoss"'


def test_a_mistyped_section_is_not_missing_as_well(tiny: Tiny) -> None:
    config = tiny()
    config["optimiser"] = config.pop("optimizer")
    assert list(problems(config)) == ["optimiser"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("host.threads=0", "a whole number of at least 1"),
        ("host.threads=5000", "a whole number of at most 4096"),
        ("seed=-1", "a whole number of at least 0"),
        ("seed=9223372036854775808", "a whole number below 9223372036854775808"),
        ("checkpoints.keep_last=0", "a whole number of at least 1"),
    ],
)
def test_numbers_of_sections_have_ranges(setting: str, expected: str, tiny: Tiny) -> None:
    (problem,) = problems(tiny(), setting).values()
    assert problem.message.endswith("is out of range")
    assert problem.expected == expected
