"""`assay check` on torchvision's ResNet-50, batch 256 of 3×224×224: time, memory, and the figures against torch's own.

By turns, each in a process of its own: the command, and `import torch, torchvision` alone. What is timed is the whole
process. Beside it: parameters and operations as torch counts them on a real model.

    python benchmarks/check.py [--turns 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = {
    "data": {
        "dataset": {"type": "FakeData", "args": {"size": 1024, "image_size": [3, 224, 224], "num_classes": 1000}},
        "loader": {"args": {"batch_size": 256}},
    },
    "model": "resnet50",
    "loss": "CrossEntropyLoss",
    "metrics": ["Accuracy"],
    "optimizer": {"type": "SGD", "args": {"lr": 0.1, "momentum": 0.9}},
}
CHECK = "from assay.cli import main; main(['check', 'resnet50.json', '--json'])"
COUNT = """
import json, torch, torchvision
from torch.utils.flop_counter import FlopCounterMode
model = torchvision.models.resnet50()
with FlopCounterMode(display=False) as counter, torch.no_grad():
    model(torch.zeros(1, 3, 224, 224))
print(json.dumps([sum(p.numel() for p in model.parameters()), counter.get_total_flops()]))
"""


def measured(code: str, folder: str) -> tuple[float, float, str]:
    """Seconds, peak resident MiB, and what the process printed."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"the process ended with {os.waitstatus_to_exitcode(status)}")
        output.seek(0)
        return seconds, usage.ru_maxrss / 1024, output.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "resnet50.json").write_text(json.dumps(CONFIG))
        checks, imports = [], []
        for _ in range(turns):
            checks.append(measured(CHECK, folder))
            imports.append(measured("import torch, torchvision", folder))
        parameters, operations = json.loads(measured(COUNT, folder)[2])
        said = json.loads(checks[-1][2])
    ratios = [check[0] / alone[0] for check, alone in zip(checks, imports, strict=True)]
    for name, values, unit in (
        ("assay check", [check[0] for check in checks], "s"),
        ("import torch, torchvision", [alone[0] for alone in imports], "s"),
        ("ratio", ratios, ""),
        ("peak resident memory of the check", [check[1] for check in checks], "MiB"),
    ):
        print(
            f"{name:<36} n {turns}  median {statistics.median(values):.4g} {unit}  {min(values):.4g}-{max(values):.4g}"
        )
    print(f"parameters {said['parameters']:,}, torch counts {parameters:,}")
    print(f"FLOPs of a sample {said['flops_per_sample']:,}, torch counts {operations:,}")


if __name__ == "__main__":
    main()
