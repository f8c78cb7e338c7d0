"""Nothing that a configuration names runs, and nothing outside the allowed places is imported, before it is allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
import torchvision

import assay
from assay.config.check import check
from assay.config.components import Allowed
from assay.config.load import load
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS

# Functions and classes that run, load or reach something, by the ways that they can be reached.
CALLS = """
os.system os:system os.popen os.execv os.remove posix.system nt.system subprocess.Popen subprocess:run subprocess.call
subprocess:check_output builtins.eval builtins:exec builtins.open builtins.__import__ builtins:compile builtins.getattr
importlib.import_module importlib:reload pkgutil.resolve_name runpy.run_path runpy:run_module logging.os.system
logging:os shutil.os.system shutil.rmtree functools.partial functools:reduce operator.attrgetter operator:methodcaller
itertools.starmap types.FunctionType types:CodeType code.InteractiveInterpreter code:interact pickle.loads
pickle:Unpickler marshal.loads shelve.open ctypes.CDLL ctypes:cdll multiprocessing.Process threading:Thread
socket.socket urllib.request.urlopen http.server:HTTPServer webbrowser.open antigravity:geohash this:s pty.spawn
tempfile:mktemp timeit.timeit cProfile.run pdb.run doctest.testfile pip.main site.addsitedir sys.exit sys:modules
yaml.unsafe_load ruamel.yaml:YAML numpy.load numpy:fromfile turtle:Turtle idlelib.pyshell:main
torch.load torch:load torch.hub.load torch.hub:load_state_dict_from_url torch.jit.load torch.package:PackageImporter
torch.serialization:load torch.utils.cpp_extension:load torch.utils.cpp_extension.load_inline torch.compile
torch.nn.functional:torch torch.nn.modules.module:functools torch.optim.optimizer:functools torch.nn.parallel:Module
torchvision.models:get_model torchvision.models.get_weight torchvision.datasets.utils:download_url
torchvision.models.resnet:partial torchvision.io:read_file
assay.cli:main assay.experiment.api:train assay.config.components:import_path assay.utils.atomic:write_json
""".split()  # noqa: SIM905 - one list of strings would be a page long
# Spellings that lead out of the project, into an attribute, or nowhere.
SPELLINGS = [
    "__class__.__mro__",
    "().__class__.__mro__[1].__subclasses__()",
    "object.__subclasses__",
    "__import__('os').system('touch canary')",
    "lambda: __import__('os').system('touch canary')",
    "__main__:__builtins__",
    "mylab.models:__builtins__",
    "mylab.models:__loader__",
    "mylab.models:Net.__init__.__globals__",
    "mylab.models:Net.forward",
    "mylab.models.Net.__class__",
    "mylab.models:nn",
    "mylab.models:os.system",
    "mylab.models:",
    ":Net",
    "mylab:..outside",
    ".models:Net",
    "..outside:Net",
    "../outside:Net",
    "../outside.py:Net",
    "mylab/../../outside:Net",
    "outside:Net",
    "outside.Net",
    "outside",
    "{outside}/outside.py:Net",
    "{outside}/outside:Net",
    "file://{outside}/outside.py",
    "mylab.models;os:system",
    "mylab.models:Net\nos:system",
    "mylab.models:Net os:system",
    "os.system\0",
    "mylab.models:Net\0",
    "o\uff53.system",
    "os\u2024system",
    "${oc.env:CANARY_SECRET}",
    "${env:CANARY_NAME}",
    "${{data.dataset.type}}",
    "!!python/object/apply:os.system",
    "python:Net",
    "-c:Net",
]
# What a module of the project has taken from elsewhere: importing the module is allowed, and running that is not.
TAKEN = [f"mylab.helpers:{name}" for name in ("system", "rmtree", "Popen", "partial", "load", "get_model", "os", "run")]
NAMES = CALLS + SPELLINGS + TAKEN

YAML = [
    "model: !!python/object/apply:os.system ['touch canary']",
    "model: !!python/object/new:subprocess.Popen [['touch', 'canary']]",
    "model: !!python/name:os.system",
    "model: !!python/module:outside",
    "model: {type: MLP, args: !!python/object/apply:subprocess.check_output [[touch, canary]]}",
    "!!python/object/apply:eval [\"__import__('os').system('touch canary')\"]",
    "model: !Net {hidden: [3]}",
    "%TAG ! tag:yaml.org,2002:python/\n---\nmodel: !object/apply:os.system ['touch canary']",
]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A project, and beside it a module that is on the path but in no allowed place."""
    outside, project = tmp_path / "outside", tmp_path / "project"
    (project / "mylab").mkdir(parents=True)
    outside.mkdir()
    canary = f"import pathlib\npathlib.Path({str(project / 'canary')!r}).touch()\n"
    model = "from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"
    (outside / "outside.py").write_text(canary + model)
    (project / "train.py").touch()
    (project / "mylab" / "models.py").write_text(model)
    (project / "mylab" / "helpers.py").write_text(
        "import os\nfrom functools import partial\nfrom os import system\nfrom shutil import rmtree\n"
        "from subprocess import Popen, run\nfrom torch.hub import load\nfrom torchvision.models import get_model\n"
    )
    return project


def test_no_hostile_name_runs_or_imports_anything_in_any_slot(lab: Path) -> None:
    outside = lab.parent / "outside"
    names = [name.replace("{outside}", str(outside)) for name in NAMES]
    for number, text in enumerate(YAML):
        (lab / f"tags-{number}.yaml").write_text(f"{text}\n")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("hostile.py"))],
        input=json.dumps({"names": names, "files": [f"tags-{number}.yaml" for number in range(len(YAML))]}),
        cwd=lab,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(outside), os.environ.get("PYTHONPATH", "")]),
            "CANARY_SECRET": "hush-hush",
            "CANARY_NAME": "os.system",
        },
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert len(names) + len(YAML) >= 60
    assert found["passed"] == []
    assert found["happened"] == []
    assert not (lab / "canary").exists()
    everything = {Path(file).stem for file, _ in found["imported"]}
    assert not everything & {"outside", "antigravity", "this", "turtle", "pyshell", "runpy", "cpp_extension"}
    by_name = {file for file, is_named in found["imported"] if is_named}
    assert str(lab / "mylab" / "helpers.py") in by_name
    places = [lab, *(Path(package.__file__ or "").parent for package in (assay, torch, torchvision, torchmetrics))]
    assert [file for file in by_name if not any(Path(file).is_relative_to(place) for place in places)] == []
    assert set(found["codes"]) == {2}
    assert "hush-hush" not in done.stdout + done.stderr


def test_the_watch_sees_what_it_forbids(lab: Path) -> None:
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import hostile; happened, imported = hostile.watch()\n"
        "os.system('true'); import outside, antigravity\n"
        "assert any(event.startswith('os.system') for event in happened)\n"
        "assert any('antigravity' in file for file, _ in imported)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(lab.parent / "outside"), *sys.path])}
    environment["BROWSER"] = "true"
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, here], cwd=lab, env=environment, check=True, timeout=200)
    assert (lab / "canary").exists()


def test_a_class_of_the_project_may_be_named(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = {"data": {"dataset": "Digits"}, "loss": "CrossEntropyLoss", "optimizer": "SGD"}
    assert check(load({**config, "model": "mylab.models:Net"}), KINDS, Allowed(lab)).config.model.type
    with pytest.raises(ConfigError, match="not in a place that a model may come from"):
        check(load({**config, "model": "outside:Net"}), KINDS, Allowed(lab))
