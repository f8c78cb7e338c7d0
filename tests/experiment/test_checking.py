from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import ConfigError, NonFiniteError, StorageError
from assay.experiment.checking import checked, examined
from assay.experiment.preflight import preflight

Tiny = Callable[..., dict[str, Any]]


def test_a_configuration_is_held_against_every_kind_of_component(project: Path, tiny: Tiny) -> None:
    found = examined(tiny(), ["seed=3"])
    assert found.problems == ()
    assert found.faulty == frozenset()
    assert {at[0] for at in found.components} == {"data", "model", "loss", "metrics", "optimizer", "trainer"}
    assert found.checked().config.seed == 3


@pytest.mark.parametrize(
    "call",
    [
        "assay.train('run.json')",
        "assay.train('run.json', resume='last')",
        "assay.train(json.load(open('run.json')))",
        "main(['train', '--config=run.json'])",
        "main(['train', '--resume=last', '--set', 'sede=1'])",
    ],
)
def test_mistakes_in_sections_and_names_are_told_before_torch_is_imported(project: Path, tiny: Tiny, call: str) -> None:
    Path("run.json").write_text(json.dumps(tiny({"sede": 1, "host": {"precision": 3}, "loss": "CrosEntropyLoss"})))
    (project / "saved" / "tests" / "a").mkdir(parents=True)
    (project / "saved" / "tests" / "a" / "config.json").write_text(json.dumps(tiny({"loss": "Nothing"})))
    program = (
        "import json, sys, assay; from assay.cli import main; from assay.errors import ConfigError\n"
        f"try: {call}\n"
        "except (ConfigError, SystemExit) as error: print(error)\n"
        "assert not {'torch', 'torchvision', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "there is no key 'sede'" in done.stdout + done.stderr


MISTAKES: dict[str, Any] = {
    "sede": 1,
    "data.dataset": {"type": "Digits", "args": {"folder": "x"}},
    "data.transforms.train": [{"type": "Normalize", "args": {"mean": "x"}}, {"type": "CenterCrop", "args": {}}],
    "model": {"type": "resnet18", "args": {"weights": "IMAGENET", "width": 3}},
    "loss": {"type": "CrossEntropyLoss", "args": {"weight": [[1], [2, 3]], "label_smoothing": 2}},
    "metrics": [{"type": "TopKAccuracy", "args": {"k": 0}}, {"type": "CohenKappa", "args": {"wieghts": 1}}],
    "optimizer": {"type": "Adam", "args": {"lr": -1, "betas": [0.9]}, "groups": [{"match": "a", "momentum": 1}]},
    "schedulers": ["StepLR"],
    "trainer.args": {"epochs": "two", "early_stopping": {"patience": 0}},
    "loggers": [{"type": "TensorBoardLogger", "args": {"port": 1}}],
}
SHOW = """
import json, sys
from assay.experiment.checking import examined
import assay.config.check as check
def silent(path, allowed=None): raise check.Unreadable(path)
if {spoil}: check.stand_in = silent
if {first}: import torch
found = examined("run.json")
print(json.dumps([str(problem) for problem in found.problems]))
print("torch" in sys.modules, len(found.components))
"""


def told(first: bool = False, spoil: bool = False) -> tuple[list[str], str]:
    """What a process says of run.json that has imported torch before, or in which source texts say nothing."""
    program = SHOW.format(first=first, spoil=spoil)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    problems, rest = done.stdout.splitlines()
    return json.loads(problems), rest


def test_beside_a_mistake_in_a_section_arguments_are_held_against_source_texts_with_the_same_result(
    project: Path, tiny: Tiny
) -> None:
    Path("run.json").write_text(json.dumps(tiny(MISTAKES)))
    problems, how = told()
    assert how == "False 0"
    assert len(problems) >= 15
    imported, how = told(first=True)
    assert how.startswith("True 1")
    assert imported == problems


def test_where_source_texts_do_not_tell_the_classes_are_imported(project: Path, tiny: Tiny) -> None:
    Path("run.json").write_text(json.dumps(tiny({"sede": 1, "optimizer.args": {"rate": 1}})))
    problems, how = told(spoil=True)
    assert how.startswith("True")
    assert "'SGD' has no argument 'rate'" in problems[1]
    assert told()[0] == problems


def test_a_class_of_the_project_is_imported_to_tell_all_mistakes(project: Path, tiny: Tiny) -> None:
    Path("mine.py").write_text("from torch import nn\nclass Net(nn.Module):\n    def __init__(self, width: int): ...\n")
    Path("run.json").write_text(json.dumps(tiny({"sede": 1, "model": {"type": "mine:Net", "args": {"wide": 1}}})))
    problems, how = told()
    assert how.startswith("True")
    assert any("'mine:Net' has no argument 'wide'" in problem for problem in problems)


@pytest.mark.parametrize(
    ("setting", "key", "said"),
    [
        ('data.dataset={"type": "MNIST", "args": {"data_dir": "x"}}', "data.dataset.args.data_dir", "'root'"),
        (
            'schedulers=[{"type": "CosineAnnealingLR", "args": {"Tmax": 3}}]',
            "schedulers.0.args.Tmax",
            "did you mean 'T_max'?",
        ),
        (
            'data.transforms.test=[{"type": "Resize", "args": {"size": 8, "interpolation": "bilinar"}}]',
            "data.transforms.test.0.args.interpolation",
            "did you mean 'bilinear'?",
        ),
        ("model.args.hidden=64", "model.args.hidden", "write [64]"),
        ("optimizer.type=mylab:torch.hub.load", "optimizer.type", ""),
        ("logging.tensorboard=true", "logging.tensorboard", "did you mean loggers?"),
    ],
)
def test_a_mistake_leads_to_what_was_meant(project: Path, tiny: Tiny, setting: str, key: str, said: str) -> None:
    (problem,) = examined(tiny(), [setting]).problems
    assert problem.key == key
    assert said in problem.hint
    assert said or not problem.hint


@pytest.mark.parametrize(
    ("change", "key", "place"),
    [
        ({"metrics": [{"type": "TopKAccuracy", "args": {"k": 20}}]}, "metrics.0.args.k", "20"),
        ({"model": {"type": "MLP", "args": {"num_classes": 5}}}, "model.args.num_classes", "5"),
        ({"schedulers": [{"type": "DynamicLR", "args": {"values": {}}}]}, "schedulers.0.args.values", "{}"),
        ({"model": {"type": "MLP", "weights": "nope.pt"}}, "model.weights", '"nope.pt"'),
        (
            {"model": "MLP", "data.dataset": {"type": "bare:Bare"}, "data.transforms": {}},
            "model",
            '"MLP"',
        ),
    ],
)
def test_what_components_say_has_the_place_of_the_argument(
    project: Path, tiny: Tiny, change: dict[str, Any], key: str, place: str
) -> None:
    Path("bare.py").write_text(
        "import torch\n"
        "class Bare(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 90\n"
        "    def __getitem__(self, index): return torch.zeros(1, 8, 8), 1\n"
    )
    text = json.dumps(tiny(change), indent=1)
    Path("run.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        preflight(checked(examined("run.json")))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert problem.place is not None
    assert text.splitlines()[problem.place.line - 1][problem.place.column - 1 :].rstrip(",") == place


def test_positions_that_are_no_numbers_are_told_with_the_rates(project: Path, tiny: Tiny) -> None:
    values = {"ten": 0.1, "2": "x", "02": 0.1}
    found = examined(tiny({"schedulers": [{"type": "DynamicLR", "args": {"values": values}}]})).problems
    assert {problem.key.rpartition(".")[2] for problem in found} == {"ten", "2", "02"}


def test_a_device_that_is_not_there_is_told_together_with_other_mistakes(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    found = examined(tiny({"host": {"device": "cuda:1", "threads": "x"}, "optimizer": "Adm"}))
    with pytest.raises(ConfigError) as caught:
        checked(found)
    assert {problem.key for problem in caught.value.problems} == {"host.device", "host.threads", "optimizer.type"}


def test_a_disk_without_room_for_one_checkpoint_is_refused_before_the_run(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    for call in (assay.train, assay.check):
        with pytest.raises(StorageError, match="no room for one checkpoint") as caught:
            call(tiny())
        assert caught.value.exit_code == 6
        assert "needed" in caught.value.found
    assert not (project / "saved").exists()


def test_a_rate_below_0_later_in_the_run_is_a_mistake_that_check_finds(project: Path, tiny: Tiny) -> None:
    (project / "falling.py").write_text(
        "from assay.schedulers.base import BaseScheduler\n\n\n"
        "class Falling(BaseScheduler):\n    def value(self, position: int) -> float:\n"
        "        return 0.35 - 0.1 * position\n"
    )
    config = tiny({"trainer.args.epochs": 8, "schedulers": ["falling:Falling"]})
    with pytest.raises(ConfigError, match=r"gives the learning rate -0\.05\d* before the end of the run"):
        assay.check(config)
    with pytest.raises(NonFiniteError, match=r"the learning rate -0.05\d* at step 44; the update was not") as caught:
        assay.train(config, quiet=True)
    assert caught.value.exit_code == 5
    assert assay.open("last").status["step"] == 44
