"""The sections of a configuration, their keys, defaults and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from assay.config.durations import Duration

__all__ = [
    "Checkpoints",
    "Component",
    "Config",
    "Data",
    "Group",
    "Host",
    "Loader",
    "Logging",
    "Optimizer",
    "Scheduler",
    "Split",
    "Testing",
    "Trainer",
    "Transforms",
    "Validation",
    "as_component",
]


def wrong(message: str, expected: str, hint: str = "") -> PydanticCustomError:
    """A mistake in a value, with what a message to the user needs."""
    return PydanticCustomError("assay", "{message}", {"message": message, "expected": expected, "hint": hint})


def as_component(value: Any) -> Any:
    """A bare name stands for a component without arguments."""
    return {"type": value} if isinstance(value, str) else value


def _duration(*units: str) -> tuple[Any, ...]:
    words = {"ep": '"1ep" (epochs)', "ba": '"500ba" (batches)', "s": '"5s" (seconds)'}
    expected = "a whole number with a unit, e.g. " + " or ".join(words[unit] for unit in units)

    def read(value: Any) -> Duration:
        is_count = type(value) in (int, str) and re.fullmatch("[1-9][0-9]{0,17}", str(value))
        hint = f'write "{value}{units[0]}"' if is_count else ""
        if isinstance(value, Duration) and value.unit in units:
            return value
        try:
            duration = Duration.of(value) if isinstance(value, str) else None
        except ValueError:
            duration = None
        if duration is None or duration.unit not in units:
            raise wrong("this is not a duration", expected, hint)
        return duration

    pattern = f"^0*[1-9][0-9]*({'|'.join(units)})$"
    return (
        PlainValidator(read),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "pattern": pattern}),
    )


def _share(value: Any) -> float | int:
    expected = "a share below 1 such as 0.1, or a whole number of samples"
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        is_quoted = isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)
        raise wrong(
            "this is neither a share nor a count", expected, f"write {value} without quotes" if is_quoted else ""
        )
    if isinstance(value, float) and value >= 1:
        hint = f"write {int(value)} for a number of samples" if value.is_integer() else ""
        raise wrong("this share leaves nothing to train on", expected, hint)
    return value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise wrong(f"this is not a regular expression: {error}", 'one such as "head.*"') from error
    return value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Item = TypeVar("Item")
Items = Annotated[tuple[Item, ...], BeforeValidator(_as_tuple)]
_SHARE_OR_COUNT = [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "integer", "minimum": 0}]
Share = Annotated[float | int, PlainValidator(_share), WithJsonSchema({"anyOf": _SHARE_OR_COUNT})]
ByTraining = Annotated[Duration, *_duration("ep", "ba")]
ByTime = Annotated[Duration, *_duration("s")]
# A folder of the run: no separators, and neither "." nor "..".
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,79}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _or_bare_name(schema: dict[str, Any]) -> None:
    inner = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, inner]


class Component(Section):
    """Something that is named: a class or function, and its arguments."""

    model_config = ConfigDict(json_schema_extra=_or_bare_name)

    type: str = Field(min_length=1, description="A name of assay, torch, …, or package.module:Name.")
    args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the class, by name.")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return as_component(value)


class Loader(Component):
    """What makes batches of samples."""

    type: str = Field(default="BatchLoader", min_length=1, description="A loader's name.")


class Trainer(Component):
    """What runs the epochs."""

    type: str = Field(default="DefaultTrainer", min_length=1, description="A trainer's name.")


class Scheduler(Component):
    """A learning-rate scheduler and its place in the sequence."""

    unit: Literal["epoch", "batch"] = Field(default="epoch", description="What one step of the scheduler counts.")
    priority: int | None = Field(default=None, description="Lower goes first; default: 0 for DynamicLR, 1 for others.")


class Group(BaseModel):
    """Parameters that are trained with arguments of their own."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    match: Annotated[str, AfterValidator(_expression)] = Field(
        min_length=1,
        description="A regular expression that matches whole parameter names; the first match wins.",
    )

    @property
    def args(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Optimizer(Component):
    """The optimizer; `groups` give some parameters other arguments."""

    groups: Items[Group] = Field(default=(), description="Parameter groups with arguments of their own.")


class Host(Section):
    """The machine: where and how numbers are computed."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$", description="Where to train.")
    precision: Literal["float64", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="Of the forward pass; bfloat16 and float16 are mixed precision."
    )
    compile: bool = Field(default=False, description="Compile the model with torch.compile.")
    deterministic: bool = Field(default=True, description="Use deterministic algorithms only.")
    threads: int | None = Field(default=None, ge=1, le=4096, description="CPU threads; null: one per physical core.")
    strategy: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto",
        description="How several processes (`torchrun`) share a training: ddp, each has the whole model; fsdp, each "
        "has some rows of every parameter. auto is ddp. Without effect on one process.",
    )
    sync_batchnorm: bool = Field(default=True, description="Whether BatchNorm takes its statistics over all processes.")
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        default="auto", description="Layout of images and weights in memory."
    )


class Split(Section):
    """What is held back from training; a share below 1, a number of samples, or 0 for none."""

    validation: Share | None = Field(default=None, description="null: the dataset's own split, else 0.1 of train.")
    test: Share | None = Field(default=None, description="null: the dataset's own split.")


class Transforms(Section):
    """What is done to the inputs, in this order, by split."""

    train: Items[Component] = Field(default=(), description="For training.")
    validation: Items[Component] = Field(default=(), description="For validation; default: those of test.")
    test: Items[Component] = Field(default=(), description="For testing.")

    @model_validator(mode="before")
    @classmethod
    def _validation_as_test(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("validation") is None:
            value = {key: item for key, item in value.items() if key != "validation"}
            if "test" in value:
                value["validation"] = value["test"]
        return value


class Data(Section):
    """The samples: where they come from, how they are split, transformed and loaded."""

    dataset: Component = Field(description="The dataset.")
    loader: Loader = Field(default=Loader(), description="What makes batches of it.")
    split: Split = Field(default=Split(), description="How much is held back for validation and testing.")
    transforms: Transforms = Field(default=Transforms(), description="What is done to the inputs.")


class Model(Component):
    """The architecture; classes, channels and input shape come from the dataset."""

    weights: str | None = Field(default=None, min_length=1, description="A file or a run to start from.")


class Validation(Section):
    """When the model is measured on the validation split."""

    every: ByTraining = Field(default=Duration(1, "ep"), description="How often.")


class Testing(Section):
    """When the model is measured on the test split."""

    every: ByTraining | None = Field(default=None, description="How often; null: once, at the end.")


class Checkpoints(Section):
    """What is saved to go on from, and to keep."""

    every: ByTraining = Field(default=Duration(1, "ep"), description="How often.")
    keep_last: int = Field(default=2, ge=1, description="How many of the newest are kept, two at least.")
    keep_best: int = Field(default=1, ge=0, description="How many of the best by `monitor` are kept.")


class Logging(Section):
    """What is written down during training."""

    every: ByTraining = Field(default=Duration(1, "ep"), description="How often training is recorded.")
    images: int = Field(default=0, ge=0, description="How many input images of a split are kept.")
    histograms: bool = Field(default=False, description="Whether histograms of weights and gradients are kept.")
    system: ByTime | None = Field(default=None, description="How often the machine is measured; null: never.")


class Config(Section):
    """A whole run."""

    project: FolderName = Field(default="assay", description="Folder that holds the runs of one project.")
    name: FolderName = Field(default="run", description="What the run's folder begins with.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Everything random follows from it.")
    folder: str = Field(default="saved", min_length=1, description="Where runs are written.")
    allow_test_selection: bool = Field(
        default=False, description="Whether the test split may choose the best model; stamped on the run."
    )
    host: Host = Field(default=Host(), description="The machine.")
    data: Data = Field(description="The samples.")
    model: Model = Field(description="The architecture.")
    loss: Component = Field(description="What is minimised.")
    metrics: Items[Component] = Field(default=(), description="What is measured.")
    optimizer: Optimizer = Field(description="What updates the weights.")
    schedulers: Items[Scheduler] = Field(default=(), description="What changes the learning rate.")
    trainer: Trainer = Field(default=Trainer(), description="What runs the epochs.")
    validation: Validation = Field(default=Validation(), description="When to validate.")
    testing: Testing = Field(default=Testing(), description="When to test.")
    checkpoints: Checkpoints = Field(default=Checkpoints(), description="What to save.")
    logging: Logging = Field(default=Logging(), description="What to record.")
    loggers: Items[Component] = Field(
        default=(Component(type="TensorBoardLogger"),), description="Where records are sent."
    )
