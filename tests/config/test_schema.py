from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from assay.config.durations import Duration
from assay.config.schema import Config

SMALL: dict[str, Any] = {
    "data": {"dataset": "Digits"},
    "model": "ResNet",
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "args": {"lr": 0.1}},
}


def faults(**sections: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**SMALL, **sections})
    return [error["loc"] for error in caught.value.errors()]


def test_data_model_loss_and_optimizer_are_enough() -> None:
    config = Config.model_validate(SMALL)
    assert (config.project, config.name, config.seed, config.folder) == ("assay", "run", 0, "saved")
    assert config.model.type == "ResNet"
    assert config.data.loader.type == "BatchLoader"
    assert config.trainer.type == "DefaultTrainer"
    assert [logger.type for logger in config.loggers] == ["TensorBoardLogger"]
    assert config.validation.every == config.checkpoints.every == config.logging.every == Duration(1, "ep")
    assert config.testing.every is None
    assert config.logging.system is None
    assert (config.checkpoints.keep_last, config.checkpoints.keep_best) == (2, 1)
    assert config.data.split.validation is None


@pytest.mark.parametrize("section", ["data", "model", "loss", "optimizer"])
def test_each_of_these_is_needed(section: str) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({name: value for name, value in SMALL.items() if name != section})


def test_transforms_of_validation_are_those_of_test_unless_given() -> None:
    def types(transforms: dict[str, Any]) -> tuple[list[str], list[str]]:
        found = Config.model_validate({**SMALL, "data": {"dataset": "D", "transforms": transforms}}).data.transforms
        return [one.type for one in found.validation], [one.type for one in found.test]

    assert types({"train": ["A"], "test": ["B"]}) == (["B"], ["B"])
    assert types({"train": ["A"], "test": ["B"], "validation": []}) == ([], ["B"])
    assert types({"train": ["A"]}) == ([], [])


def test_groups_take_arguments_of_the_optimizer() -> None:
    groups = [{"match": "head.*", "lr": 0.1}]
    config = Config.model_validate({**SMALL, "optimizer": {"type": "SGD", "groups": groups}})
    assert config.optimizer.groups[0].match == "head.*"
    assert config.optimizer.groups[0].args == {"lr": 0.1}
    assert config.model_dump(mode="json")["optimizer"]["groups"] == groups


def test_the_whole_of_it_is_json_and_gives_itself_again() -> None:
    config = Config.model_validate({**SMALL, "logging": {"system": "5s", "every": "10ba"}})
    dumped = config.model_dump(mode="json")
    assert dumped["logging"] == {"every": "10ba", "images": 0, "histograms": False, "system": "5s"}
    assert dumped["model"] == {"type": "ResNet", "args": {}, "weights": None}
    assert Config.model_validate(dumped) == config


@pytest.mark.parametrize(
    ("sections", "at"),
    [
        ({"sed": 1}, ("sed",)),
        ({"seed": -1}, ("seed",)),
        ({"seed": 2**63}, ("seed",)),
        ({"seed": 1.0}, ("seed",)),
        ({"seed": True}, ("seed",)),
        ({"name": ".."}, ("name",)),
        ({"name": "a/b"}, ("name",)),
        ({"project": ""}, ("project",)),
        ({"name": "x" * 81}, ("name",)),
        ({"name": "run\n"}, ("name",)),
        ({"folder": ""}, ("folder",)),
        ({"host": {"device": "gpu"}}, ("host", "device")),
        ({"host": {"precision": "fp16"}}, ("host", "precision")),
        ({"host": {"threads": 0}}, ("host", "threads")),
        ({"host": {"strategy": "dp"}}, ("host", "strategy")),
        ({"host": {"deterministic": 1}}, ("host", "deterministic")),
        ({"model": {"type": "A", "arg": {}}}, ("model", "arg")),
        ({"model": {"args": {}}}, ("model", "type")),
        ({"model": ""}, ("model", "type")),
        ({"loss": 3}, ("loss",)),
        ({"metrics": "Accuracy"}, ("metrics",)),
        ({"metrics": [3]}, ("metrics", 0)),
        ({"schedulers": [{"type": "A", "unit": "step"}]}, ("schedulers", 0, "unit")),
        ({"schedulers": [{"type": "A", "priority": 0.5}]}, ("schedulers", 0, "priority")),
        ({"optimizer": {"type": "A", "groups": [{"lr": 1}]}}, ("optimizer", "groups", 0, "match")),
        ({"optimizer": {"type": "A", "groups": [{"match": "("}]}}, ("optimizer", "groups", 0, "match")),
        ({"data": {"dataset": "D", "split": {"validation": 1.0}}}, ("data", "split", "validation")),
        ({"data": {"dataset": "D", "split": {"test": -1}}}, ("data", "split", "test")),
        ({"data": {"dataset": "D", "split": {"test": True}}}, ("data", "split", "test")),
        ({"validation": {"every": "5s"}}, ("validation", "every")),
        ({"testing": {"every": 1}}, ("testing", "every")),
        ({"checkpoints": {"every": "0ep"}}, ("checkpoints", "every")),
        ({"checkpoints": {"keep_last": 0}}, ("checkpoints", "keep_last")),
        ({"logging": {"system": "1ep"}}, ("logging", "system")),
        ({"logging": {"images": -1}}, ("logging", "images")),
    ],
)
def test_wrong_values_and_unknown_keys_are_refused_at_their_path(sections: dict[str, Any], at: tuple[Any, ...]) -> None:
    assert faults(**sections) == [at]


@pytest.mark.parametrize("share", [0, 0.0, 0.5, 100, None])
def test_a_split_is_a_share_or_a_count(share: float | int | None) -> None:
    config = Config.model_validate({**SMALL, "data": {"dataset": "D", "split": {"validation": share}}})
    assert config.data.split.validation == share
    assert type(config.data.split.validation) is type(share)


def test_a_configuration_cannot_be_changed() -> None:
    config = Config.model_validate(SMALL)
    with pytest.raises(ValidationError):
        config.seed = 3


def test_every_field_has_a_description_and_there_is_a_json_schema() -> None:
    def check(section: type[BaseModel]) -> int:
        count = 0
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                count += check(field.annotation)
            count += 1
        return count

    assert check(Config) > 40
    assert "anyOf" in str(Config.model_json_schema()["$defs"]["Component"])
