"""A step on paper: what it counts is what a real step holds, and what does not fit is told with its layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import assay
from assay.errors import ConfigError, DataError
from assay.experiment.build import assemble
from assay.experiment.checking import checked, examined
from assay.experiment.live_storages import LiveStorages
from assay.experiment.preflight import Preflight, preflight, report

Tiny = Callable[..., dict[str, Any]]

NETS = """
import copy
import torch
from torch import nn
from assay.model.metrics.base import BaseMetric
from assay.trainer.default import DefaultTrainer
from assay.trainer.state import StepResult

class Net(nn.Module):
    def __init__(self, out: int = 10, channels: int = 1, wide: int = 288, reads: str = "nothing"):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3)
        self.norm = copy.deepcopy(nn.BatchNorm2d(8))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(wide, 16), nn.ReLU(), nn.Linear(16, out))
        self.reads = reads
    def forward(self, x):
        if self.reads == "a name that is not there":
            return self.haed(x)
        if self.reads == "numpy":
            x = torch.from_numpy(x.numpy() * 2)
        if self.reads == "number" and x.sum() > 1e9:
            raise ValueError("too bright")
        return self.head(torch.relu(self.norm(self.conv(x))))

class Picky(BaseMetric):
    def __init__(self):
        super().__init__()
        self.add_state("sum")
    def update(self, output, target):
        self.sum += output.sum()
    def compute(self):
        if not self.sum:
            raise ZeroDivisionError
        return self.sum

class Counted(nn.Module):
    # As deep as a tensor says, like torchvision's regnets.
    def __init__(self, num_classes: int = 10, how: str = "depths"):
        super().__init__()
        depths = torch.tensor([1.0, 3.0]).int().tolist()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(sum(depths)))
        if how == "shared":
            self.layers[1].weight = self.layers[0].weight
        self.head = nn.LazyLinear(num_classes) if how == "lazy" else nn.Linear(64, num_classes)
    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)

class Penalty(DefaultTrainer):
    def train_step(self, batch):
        inputs, target = batch
        output = self.model(inputs.requires_grad_())
        loss = self.loss(output, target)
        slope, = torch.autograd.grad(loss, inputs, create_graph=True)
        return StepResult(loss + slope.pow(2).sum(), output, target, len(target))

class Triples(torch.utils.data.Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return torch.zeros(1, 8, 8), index % 10, index

class Targets(torch.utils.data.Dataset):
    classes = [str(number) for number in range(10)]
    def __init__(self, split: str = "train", kind: str = "int64", high: int = 10, tested: int = 10, inputs: str = ""):
        self.inputs = torch.zeros(40, 1, 8, 8, dtype=getattr(torch, inputs or "float32"))
        self.targets = (torch.arange(40) % (high if split == "train" else tested)).to(getattr(torch, kind))
    @classmethod
    def splits(cls, **args):
        return ("train", "test")
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]
"""


@pytest.fixture
def look(project: Path, tiny: Tiny) -> Callable[..., Preflight]:
    """Everything up to the start of a run with the network above."""
    (project / "paper_nets.py").write_text(NETS)

    def look(changes: dict[str, Any] | None = None, **args: Any) -> Preflight:
        config = tiny({"model": {"type": "paper_nets:Net", "args": args}, **(changes or {})})
        return preflight(checked(examined(config)))

    return look


def test_parameters_operations_and_batches_are_those_of_the_run(look: Callable[..., Preflight]) -> None:
    done = look()
    made = report(done)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 10)
    )
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(4, 1, 8, 8))
    assert made.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert made.flops_per_sample == counter.get_total_flops() / 4
    assert made.batches_per_epoch == len(done.data.train)
    assert made.steps == made.epochs * made.batches_per_epoch


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "NAdam", "Adagrad", "RMSprop"])
def test_the_memory_of_a_step_is_what_the_tensors_of_a_real_one_hold(
    look: Callable[..., Preflight], optimizer: str
) -> None:
    done = look({"optimizer": {"type": optimizer, "args": {"lr": 0.01}}})
    batch = next(iter(done.data.train))
    with LiveStorages() as real:
        trainer = assemble(done.checked, done.data, torch.device("cpu"))
        for tensor in batch:
            real.count(tensor)
        trainer.model.train()
        real.restart()
        for _ in range(2):
            trainer.update(batch)
    assert done.rehearsed.peak_bytes == pytest.approx(real.peak, rel=0.05)


def test_a_step_on_paper_takes_no_memory_for_the_model(look: Callable[..., Preflight]) -> None:
    done = look({"trainer.args.ema": 0.9})
    parameters = [*done.rehearsed.trainer.model.parameters(), *done.rehearsed.trainer.average.parameters()]  # type: ignore[union-attr]
    assert {type(parameter).__name__ for parameter in parameters} == {"FakeTensor"}


@pytest.mark.parametrize(
    ("args", "layer"),
    [
        ({"channels": 3}, "layer 'conv', Conv2d(3, 8"),
        ({"wide": 100}, "layer 'head.1', Linear(in_features=100"),
        ({"out": 7}, "layer 'head.3', Linear(in_features=16, out_features=7"),
        ({"out": 12}, "layer 'head.3', Linear(in_features=16, out_features=12"),
    ],
)
def test_what_does_not_fit_the_data_names_the_layer(
    look: Callable[..., Preflight], args: dict[str, Any], layer: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        look(**args)
    assert layer in str(caught.value)
    assert caught.value.problems[0].key == "model"


@pytest.mark.parametrize("reads", ["numpy", "number"])
def test_a_model_that_needs_numbers_is_not_refused(look: Callable[..., Preflight], reads: str) -> None:
    done = look(reads=reads)
    assert report(done).parameters == 4_890


@pytest.mark.parametrize(("how", "made"), [("depths", 17_290), ("lazy", 17_290), ("shared", 13_194)])
def test_a_model_whose_layers_are_counted_by_tensors_is_the_one_that_is_trained(
    look: Callable[..., Preflight], how: str, made: int
) -> None:
    rehearsed = look({"model": {"type": "paper_nets:Counted", "args": {"how": how}}}).rehearsed
    assert rehearsed.parameters == made
    assert rehearsed.peak_bytes is not None
    assert rehearsed.state_bytes == made * 4
    assert {type(parameter).__name__ for parameter in rehearsed.trainer.model.parameters()} == {"FakeTensor"}


def test_a_step_that_needs_the_gradient_of_its_inputs_is_counted(look: Callable[..., Preflight]) -> None:
    for model in ("MLP", "paper_nets:Net"):
        plain = look({"model": {"type": model}})
        done = look({"model": {"type": model}, "trainer.type": "paper_nets:Penalty"})
        assert done.rehearsed.flops == plain.rehearsed.flops


def test_inputs_of_another_type_than_the_weights_name_the_layer(look: Callable[..., Preflight]) -> None:
    data = {"data.dataset": {"type": "paper_nets:Targets", "args": {"inputs": "int64"}}, "data.transforms": {}}
    for model, layer in (({"type": "paper_nets:Net"}, "'conv'"), ({"type": "MLP"}, "'layers.0")):
        with pytest.raises(ConfigError) as caught:
            look({**data, "model": model})
        assert layer in str(caught.value)
        assert "int64" in str(caught.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_object_with_computed_weights_is_copied(project: Path, tiny: Tiny) -> None:
    model = nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(64, 10)))
    run = assay.train(tiny({"trainer.args": {"epochs": 1, "max_steps": 1}}), model=model, quiet=True)
    assert run.status["state"] == "completed"


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ({"tested": 12}, DataError, ["none of the dataset's classes", "10, 11", "0 to 9"]),
        ({"kind": "int32"}, ConfigError, ["the loss cannot take", "int32"]),
        ({"kind": "float32"}, ConfigError, ["the loss cannot take", "float32"]),
        ({"high": 12}, DataError, ["none of the dataset's classes", "10, 11", "0 to 9"]),
    ],
)
def test_targets_that_tensors_without_memory_let_pass_are_found_in_a_real_batch(
    look: Callable[..., Preflight], args: dict[str, Any], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        look({"data.dataset": {"type": "paper_nets:Targets", "args": args}, "data.transforms": {}})
    assert all(word in str(caught.value) for word in words)


def test_mistakes_of_several_constructors_are_told_together(look: Callable[..., Preflight]) -> None:
    schedulers = [{"type": "CyclicLR", "args": {"base_lr": 0.1, "max_lr": 0.2, "mode": "spiral"}}]
    with pytest.raises(ConfigError) as caught:
        look({"schedulers": schedulers, "optimizer": {"type": "SGD", "args": {"lr": 0.1, "nesterov": True}}})
    keys = [problem.key for problem in caught.value.problems]
    assert any(key.startswith("optimizer") for key in keys)
    assert any(key.startswith("schedulers") for key in keys)


def test_an_object_that_is_ready_is_left_as_it_is(project: Path, tiny: Tiny) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError):
        assay.train(tiny({"loss": "BCEWithLogitsLoss"}), model=model, quiet=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_preflight_changes_no_number_of_the_run(look: Callable[..., Preflight]) -> None:
    state = torch.get_rng_state()
    look()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() is torch.float32


def test_a_check_from_python_takes_objects_and_gives_the_figures(project: Path, tiny: Tiny) -> None:
    made = assay.check(tiny(), model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    assert made.parameters == 650
    with pytest.raises(ConfigError, match=r"check\(\) has no argument 'modell'"):
        assay.check(tiny(), modell=nn.Linear(1, 1))


def test_a_metric_that_computes_nothing_from_zeros_is_not_refused(look: Callable[..., Preflight]) -> None:
    assert look({"metrics": ["paper_nets:Picky"]}).data.info.classes == 10


def test_a_metric_that_the_data_refuses_has_its_place(look: Callable[..., Preflight]) -> None:
    with pytest.raises(ConfigError) as caught:
        look({"metrics": ["Accuracy", {"type": "TopKAccuracy", "args": {"k": 20}}]})
    (problem,) = caught.value.problems
    assert problem.key == "metrics.1.args.k"
    assert problem.place is not None


def test_a_mistake_in_the_code_of_a_model_is_not_called_a_wrong_shape(look: Callable[..., Preflight]) -> None:
    with pytest.raises(ConfigError, match=r"the forward pass fails in model Net: AttributeError.*haed"):
        look(reads="a name that is not there")


def test_samples_that_are_no_pairs_are_a_matter_of_the_dataset(look: Callable[..., Preflight]) -> None:
    with pytest.raises(ConfigError, match="no pairs") as caught:
        look({"data.dataset": "paper_nets:Triples", "data.transforms": {}})
    assert caught.value.problems[0].key == "data.dataset"
