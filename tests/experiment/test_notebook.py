"""assay in a notebook: a kernel of its own, as Jupyter starts one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:Proactor")
def test_a_model_that_was_written_in_a_cell_trains_and_predicts(
    project: Path, tiny: Callable[..., dict[str, Any]]
) -> None:
    (project / "run.json").write_text(json.dumps(tiny({"loggers": ["TensorBoardLogger"]})))
    cells = [
        "import assay, torch\nfrom torch import nn",
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes, input_shape):\n"
        "        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, num_classes))\n"
        "    def forward(self, x):\n"
        "        return self.body(x)",
        "run = assay.train('run.json', model=Net, overrides=['trainer.args.epochs=3'])\n"
        "print('a cell still prints')\nrun",
        "run.journal()[-2:]",
        "assert run.model('best')(torch.zeros(2, 1, 8, 8)).shape == (2, 10)\n"
        "print(run.test(), assay.open(run.path).best['test/accuracy'])",
        "try:\n    assay.train('run.json', model=Net, overrides=['optimizer.args.rate=3'])\n"
        "except assay.errors.ConfigError as error:\n    print(error)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    ).execute()
    outputs = [
        "".join(part.get("text", "") + str(part.get("data", "")) for part in cell.outputs) for cell in notebook.cells
    ]
    assert "completed" in outputs[2]
    assert "validation: loss" in outputs[2]  # by rich, past what keeps it
    assert "a cell still prints" in outputs[2]
    kept = next((project / "saved" / "tests").glob("*/output.log")).read_text()
    assert kept.count("validation: loss") == 3
    assert "a cell" not in kept
    assert "validation" in outputs[3] or "test" in outputs[3]
    assert "test/accuracy" in outputs[4]
    assert "'SGD' has no argument 'rate'" in outputs[5]
    assert json.loads(next((project / "saved" / "tests").glob("*/status.json")).read_text())["state"] == "completed"
