"""CPU time of the sampler, and of the courier around it, as shares of one core.

    python benchmarks/system.py
    python benchmarks/system.py --minutes 10 --rounds 1 --every 1 --workers 4
    python benchmarks/system.py --elastic http://127.0.0.1:9200

A trainer that sleeps, with loader workers that sleep, holds a run folder; a courier is started beside it as
`assay train` does it, and a record is added every second. Three couriers take turns: one that measures nothing, one
that measures, and one that measures with TensorBoardLogger beside it (with an Elasticsearch, one more). Their CPU
seconds are read from /proc; those of the first five seconds (start and imports) are told apart, because they are
spent once.

The sampler alone is timed in this process, by the CPU time of its thread over many samples of the same trainer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from assay.config.components import Allowed
from assay.logger.courier.launch import start
from assay.logger.machine.sampler import Sampler
from assay.store.journal import JOURNAL, Journal
from assay.store.lock import Lock

CASES: dict[str, tuple[float | None, list[Any]]] = {
    "courier, nothing measured": (None, []),
    "courier, measuring": (1.0, []),
    "courier, measuring, TensorBoardLogger": (1.0, ["TensorBoardLogger"]),
}
WORKER = "import time; time.sleep(86400)"


def shares_of_the_sampler(folder: Path, samples: int, every: float) -> list[float]:
    """CPU seconds of one sample over `every`, in percent; each written to the disk as in a run."""
    sampler = Sampler(folder, os.getpid())
    found = []
    for _ in range(samples):
        begin = time.thread_time()
        sampler.write()
        found.append(100 * (time.thread_time() - begin) / every)
        time.sleep(0.02)  # not all of it from warm caches
    return found


def share_of_a_courier(loggers: list[Any], every: float | None, minutes: float) -> tuple[float, float]:
    """Percent of one core while the run goes on, and CPU seconds of the start."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "run"
        (folder / "courier").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"project": "p", "name": "n", "loggers": loggers}))
        (folder / "status.json").write_text(json.dumps({"state": "running"}))
        lock, journal = Lock(folder / "run.lock"), Journal(folder / JOURNAL)
        courier = start(folder, Allowed(Path(base)), system=every)
        process = psutil.Process(courier.pid)
        time.sleep(5)
        first = sum(process.cpu_times()[:2])
        begin, step = time.monotonic(), 0
        while time.monotonic() - begin < 60 * minutes:
            journal.append(phase="batch", epoch=0, step=step, samples=step, values={"loss": 1.0, "rate": 0.1})
            step += 1
            time.sleep(1)
        used = sum(process.cpu_times()[:2]) - first
        share = 100 * used / (time.monotonic() - begin)
        (folder / "status.json").write_text(json.dumps({"state": "completed"}))
        courier.wait(60)
        lock.release()
        journal.close()
        return share, first


def line(name: str, values: list[float], unit: str) -> str:
    low, middle, high = np.percentile(values, (10, 50, 90))
    return f"{name:<40} n {len(values):>5}   median {middle:.3f} {unit}   p10-p90 {low:.3f}-{high:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=float, default=1.0, help="seconds from one sample to the next")
    parser.add_argument("--workers", type=int, default=2, help="processes of the trainer")
    parser.add_argument("--samples", type=int, default=600, help="of the sampler alone")
    parser.add_argument("--elastic", metavar="URL", help="of an Elasticsearch to send to")
    options = parser.parse_args()
    if options.elastic:
        logger = {"type": "ElasticLogger", "args": {"url": options.elastic, "index": "benchmark"}}
        CASES["courier, measuring, ElasticLogger"] = (1.0, [logger])
    machine = f"{os.cpu_count()} cores, {len(psutil.pids())} processes"
    print(f"Python {sys.version.split()[0]}, psutil {psutil.__version__}, {machine}")
    workers = [subprocess.Popen([sys.executable, "-c", WORKER]) for _ in range(options.workers)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            shares = shares_of_the_sampler(Path(folder), options.samples, options.every)
        print(line("sampler alone, a sample every second", shares, "% of a core"))
        steady: dict[str, list[float]] = {name: [] for name in CASES}
        starts: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(options.rounds):
            for name, (every, loggers) in CASES.items():
                share, begin = share_of_a_courier(loggers, every and options.every, options.minutes)
                steady[name].append(share)
                starts[name].append(begin)
        for name in CASES:
            print(line(name, steady[name], "% of a core"))
            print(line("  its start", starts[name], "CPU s"))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    main()
