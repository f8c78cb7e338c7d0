from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.config.components import Allowed, Kind, Refused, find
from assay.data.datasets import DATASETS
from assay.data.loaders import LOADERS
from assay.data.transforms import TRANSFORMS

KINDS = [DATASETS, LOADERS, TRANSFORMS]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in kind.table])
def test_every_name_of_a_table_stands_for_a_class_of_its_kind(kind: Kind, name: str, tmp_path: Path) -> None:
    assert find(kind, name, Allowed(tmp_path)).__name__ == name


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (DATASETS, "SVHN"),
        (DATASETS, "EMNIST"),
        (TRANSFORMS, "RandomResizedCrop"),
        (TRANSFORMS, "ColorJitter"),
    ],
)
def test_torchvisions_names_do(kind: Kind, name: str, tmp_path: Path) -> None:
    assert find(kind, name, Allowed(tmp_path)).__module__.startswith("torchvision.")


@pytest.mark.parametrize("name", ["MixUp", "InterpolationMode", "Transform"])
def test_names_that_no_image_can_go_through_are_not_offered(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no transform is named"):
        find(TRANSFORMS, name, Allowed(tmp_path))


def test_a_transform_of_ones_own_needs_no_base_class_but_must_be_callable(project: Path) -> None:
    (project / "own_transforms.py").write_text(
        "class Invert:\n    def __call__(self, image):\n        return 255 - image\nclass Idle:\n    pass\n"
    )
    assert find(TRANSFORMS, "own_transforms:Invert", Allowed(project)).__name__ == "Invert"
    with pytest.raises(Refused, match="'own_transforms:Idle' is not a transform"):
        find(TRANSFORMS, "own_transforms:Idle", Allowed(project))


def test_the_tables_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, assay.data.datasets, assay.data.transforms, assay.data.loaders;"
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
