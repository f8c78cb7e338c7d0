from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.config.components import Allowed, Family, Kind, Refused, find, locate, nearest, project_root

MODEL = Kind("model", ("torch.nn:Module",), {"Ours": "torch.nn:Linear"}, (), functions=True)
LOSS = Kind("loss", ("torch.nn:Module",), {}, (Family("torch.nn", ("nn/modules/loss.py",)),))
METRIC = Kind("metric", ("torchmetrics:Metric",), {}, (Family("torchmetrics", ("__init__.py",)),))


def project(folder: Path, **modules: str) -> Allowed:
    for name, text in modules.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Allowed(folder)


def refused(kind: Kind, name: str, allowed: Allowed) -> str:
    with pytest.raises(Refused) as caught:
        find(kind, name, allowed, (MODEL, LOSS, METRIC))
    return str(caught.value.problem)


def test_names_come_from_the_table_then_from_the_families(tmp_path: Path) -> None:
    allowed = Allowed(tmp_path)
    assert find(MODEL, "Ours", allowed).__name__ == "Linear"
    assert find(LOSS, "CrossEntropyLoss", allowed).__name__ == "CrossEntropyLoss"
    assert find(METRIC, "MatthewsCorrCoef", allowed).__name__ == "MatthewsCorrCoef"


def test_a_class_of_the_project_is_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = "from torch import nn\n"
    text += "class Wide(nn.Module): pass\ndef make() -> nn.Module: return Wide()\nthing = 3\n"
    allowed = project(tmp_path, cfgcomp__nets=text)
    assert find(MODEL, "cfgcomp.nets:Wide", allowed).__name__ == "Wide"
    assert find(MODEL, "cfgcomp.nets.make", allowed).__name__ == "make"
    assert "is not a loss" in refused(LOSS, "cfgcomp.nets:make", allowed)
    assert "is not a model" in refused(MODEL, "cfgcomp.nets:thing", allowed)
    assert "did you mean cfgcomp.nets:Wide?" in refused(MODEL, "cfgcomp.nets:Wiid", allowed)
    assert "did you mean cfgcomp.nets?" in refused(MODEL, "cfgcomp.net:Wide", allowed)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "os:system",
        "builtins.eval",
        "torch.hub.load",
        "functools.partial",
        "subprocess:Popen",
        "..x:Y",
        "torch.nn:functional",
        "posix.system",
        "logging.os.system",
        "importlib:import_module",
        "x y",
        "__import__",
    ],
)
def test_what_is_no_component_is_refused(name: str, tmp_path: Path) -> None:
    assert refused(LOSS, name, Allowed(tmp_path))


def test_another_kinds_name_is_told_apart(tmp_path: Path) -> None:
    assert "is a loss, and a model belongs here" in refused(MODEL, "NLLLoss", Allowed(tmp_path))


def test_a_module_that_ends_the_process_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    allowed = project(tmp_path, cfgcomp_exits="import sys\nsys.exit(3)\n", cfgcomp_bad="x = (\n")
    assert "SystemExit" in refused(MODEL, "cfgcomp_exits:A", allowed)
    assert "cfgcomp_bad.py:1" in refused(MODEL, "cfgcomp_bad:A", allowed)


def test_nothing_is_imported_to_find_where_a_name_leads(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from assay.config.components import *\n"
        "loss = Kind('loss', ('torch.nn:Module',), {}, (Family('torch.nn', ('nn/modules/loss.py',)),))\n"
        "assert locate(loss, 'L1Loss', Allowed(Path())) == 'torch.nn:L1Loss'\n"
        "try: locate(loss, 'L1Los', Allowed(Path()))\n"
        "except Refused as refused: assert 'L1Loss' in refused.problem.hint\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    assert locate(LOSS, "L1Loss", Allowed(tmp_path)) == "torch.nn:L1Loss"


def test_the_nearest_name_puts_case_aside() -> None:
    assert nearest("resnet", ["ResNet", "LeNet"]) == "ResNet"
    assert nearest("xyz", ["ResNet"]) == ""


def test_the_project_is_the_nearest_folder_with_its_mark(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert project_root(inner) == inner
    (tmp_path / "a" / "train.py").touch()
    assert project_root(inner) == tmp_path / "a"


def test_one_process_goes_from_project_to_project_with_modules_of_the_same_name(tmp_path: Path) -> None:
    kind = Kind("part", base=("builtins:object",), table={})
    for project in ("one", "two", "one"):
        folder = tmp_path / project
        folder.mkdir(exist_ok=True)
        (folder / "samename_parts.py").write_text("from samename_sizes import SIZE\n\nclass Part:\n    size = SIZE\n")
        (folder / "samename_sizes.py").write_text(f"SIZE = {project!r}\n")
        assert find(kind, "samename_parts:Part", Allowed(folder)).size == project


def test_what_a_project_imports_of_assay_stays_when_the_process_goes_to_another_project(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from assay.config.components import Allowed, import_path
for name in ("one", "two"):
    (Path(name)).mkdir()
    (Path(name) / "own.py").write_text("from assay.data.datasets.base import BaseDataset")
    import_path("own:BaseDataset", Allowed(Path(name).resolve()))
    base = sys.modules["assay.data.datasets.base"]
    first = base if name == "one" else first
assert base is first
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_component_may_lie_in_folders_without_init(tmp_path: Path) -> None:
    folder = tmp_path / "bare_folder" / "inner"
    folder.mkdir(parents=True)
    (folder / "parts.py").write_text("class Part:\n    pass\n")
    kind = Kind("part", base=("builtins:object",), table={})
    assert find(kind, "bare_folder.inner.parts:Part", Allowed(tmp_path)).__name__ == "Part"


MODELS = Kind(
    "model",
    base=("torch.nn:Module",),
    table={},
    families=(Family("torchvision.models", ("models/*.py",), r"[a-z]\w*\d\w*"),),
    functions=True,
)


@pytest.mark.parametrize(
    "name",
    [
        "assay.experiment.api:train",
        "assay.cli:main",
        "assay.logger.courier.process:main",
        "torchvision.models:get_model",
        "torchvision.models:list_models",
        "torchvision.models._api:get_weight",
    ],
)
def test_a_function_that_makes_no_model_is_refused_although_its_package_is_allowed(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="not a place that a model may come from"):
        find(MODELS, name, Allowed(tmp_path))


def test_a_function_of_the_project_and_one_of_a_table_are_taken(tmp_path: Path) -> None:
    (tmp_path / "function_nets.py").write_text("from torch import nn\ndef net():\n    return nn.Linear(1, 1)\n")
    assert find(MODELS, "function_nets:net", Allowed(tmp_path)).__name__ == "net"
    assert find(MODELS, "torchvision.models:resnet18", Allowed(tmp_path)).__name__ == "resnet18"
