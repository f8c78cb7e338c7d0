"""Values a second from the journal to each logger, and the memory of the courier that takes them there.

    python benchmarks/delivery.py
    python benchmarks/delivery.py --records 10000 --loggers TensorBoardLogger

A run folder as a training leaves it, with a journal of `--records` records of ten numbers (a million points), and the
courier of `assay sync`: a process of its own at nice 19, one logger at a time. SacredLogger writes to SecantusDB and
ElasticLogger to noida-db, which speak the protocols of MongoDB and Elasticsearch and run on this machine too; what
these servers are fast at says nothing of the real ones, so CPU seconds of the courier are printed beside the clock.

The clock runs from the start of the process to its end: imports, the configuration and the code are in it. Memory is
the greatest resident set of the process (`ru_maxrss`). Afterwards the servers are asked for every value, which is held
against the journal. The journal itself is timed too: `Journal.append` in a row.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from turns import header

from assay.config.components import Allowed
from assay.logger.courier.backlog import backlogs
from assay.logger.courier.launch import start
from assay.store.journal import JOURNAL, Journal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from far_ends import FAR_ENDS, FarEnd, journalled

NUMBERS = 10


def make_run(folder: Path, records: int, logger: dict[str, Any]) -> float:
    """A completed run; CPU seconds that its journal took."""
    for name in ("courier", "media", "code"):
        (folder / name).mkdir(parents=True)
    config = {"project": "benchmark", "name": "delivery", "loggers": [logger]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "transforms.json").write_text("{}")
    created = time.time() - records * 0.01
    (folder / "status.json").write_text(json.dumps({"state": "completed", "created": created}))
    journal = Journal(folder / JOURNAL)
    waves = [math.sin(step / 97) for step in range(997)]
    begin = time.process_time()
    for step in range(records):
        values = {f"value_{index}": waves[(step * (index + 1)) % 997] / (1 + step) for index in range(NUMBERS)}
        journal.append(
            phase="batch",
            epoch=step // 1000,
            step=step + 1,
            samples=32 * step,
            values=values,
            time=created + step * 0.01,
        )
    journal.close()
    return time.process_time() - begin


def deliver(folder: Path, deadline: float) -> tuple[float, float, float]:
    """Seconds by the clock, CPU seconds and MiB at most of the courier."""
    begin = time.perf_counter()
    process = start(folder, Allowed(folder), deadline=deadline)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    undelivered = {name: str(backlog) for name, backlog in backlogs(folder).items() if str(backlog)}
    if undelivered:
        print(f"not delivered: {undelivered}\n{(folder / 'run.log').read_text()[-2000:]}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(logger: dict[str, Any], records: int, deadline: float, far: FarEnd | None = None) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:
        folder = Path(base) / "run"
        written = make_run(folder, records, logger)
        wall, cpu, memory = deliver(folder, deadline)
        expected = Counter(journalled(folder, far.spell)) if far else Counter()
        refused = sum(backlog.cursor.refused for backlog in backlogs(folder).values())
    points = records * NUMBERS
    print(
        f"{logger['type']:18} {points / wall:9,.0f} values/s by the clock, {points / cpu:9,.0f} by CPU ({wall:.1f} s, "
        f"{cpu:.1f} s of CPU), at most {memory:.0f} MiB; the journal {points / written:,.0f} values/s",
        flush=True,
    )
    if far:
        found = Counter(far.points("benchmark", folder.name))
        missing, doubled = (expected - found).total(), (found - expected).total()
        print(f"{'':18} {found.total():,} are there: {missing} missing, {doubled} too many, {refused} records refused")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000, help=f"of {NUMBERS} numbers each")
    parser.add_argument("--deadline", type=float, default=1800.0, help="seconds a courier may take")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loggers", nargs="+", default=["TensorBoardLogger", "SacredLogger", "ElasticLogger"])
    options = parser.parse_args()
    print(header(("tensorboard",), ["-"]))
    for _ in range(options.rounds):
        for name in options.loggers:
            if name not in ("SacredLogger", "ElasticLogger"):
                measure({"type": name, "args": {}}, options.records, options.deadline)
                continue
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:
                far = FAR_ENDS["mongo" if name == "SacredLogger" else "elastic"](Path(base))
                far.server.start()
                try:
                    measure(far.logger("benchmark"), options.records, options.deadline, far)
                finally:
                    far.server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
