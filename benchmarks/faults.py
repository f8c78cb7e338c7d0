"""What becomes of a run whose tracker's server fails: how long it takes to end, and which points are where.

    python benchmarks/faults.py
    python benchmarks/faults.py --trackers mongo elastic --situations silent slow

For MongoDB, Elasticsearch and MLflow (the servers of the tests, each a process of its own) and every situation, the
digits default (`configs/runs/default.json`) is trained by the command line with a record for every step, and:

- *end*: seconds from the last step to the end of the process; the last step is the newest record's time, so that the
  last validation, test and checkpoint are part of it. *seconds*: the whole run.
- *journal*: points in it. *there*: points at the far end when the process has ended and the server is well again, and
  after `assay sync`, which takes *sync* seconds. *doubled*: points that are there more than once, then.
- *weights*: whether they equal, to the bit, those of a run without a logger.

What the user sees of it is printed below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

HOME = Path(__file__).parents[1]
sys.path.insert(0, str(HOME / "tests"))

import torch  # noqa: E402

from assay.store.journal import JOURNAL, read  # noqa: E402
from far_ends import FAR_ENDS, FarEnd, journalled  # noqa: E402
from proxy import LOSE, Proxy, answer, every_other, hang, slow  # noqa: E402

Far = tuple[FarEnd, Proxy]
Act = Callable[[FarEnd, Proxy], object]


def nothing(far: FarEnd, proxy: Proxy) -> None:
    pass


def _kill(far: FarEnd, proxy: Proxy) -> None:
    far.interrupt()


def _back(far: FarEnd, proxy: Proxy) -> None:
    far.interrupt()
    time.sleep(3)
    far.server.start()


def _rule(make: Callable[[FarEnd], Any]) -> Act:
    return lambda far, proxy: proxy.behave(make(far))


# What happens before the run, in its middle, and before the sync.
SITUATIONS: dict[str, tuple[Act, Act, Act]] = {
    "down at the start, back in the middle": (_kill, lambda far, proxy: far.server.start(), nothing),
    "down, back after the run": (_kill, nothing, lambda far, proxy: far.server.start()),
    "ended in the middle, back after 3 s": (nothing, _back, nothing),
    "killed in the middle, back after the run": (nothing, _kill, lambda far, proxy: far.server.start()),
    "silent from the middle on": (
        nothing,
        lambda far, proxy: far.server.freeze(),
        lambda far, proxy: far.server.thaw(),
    ),
    "silent from the start": (_rule(lambda far: hang), nothing, _rule(lambda far: None)),
    "every other request fails": (_rule(lambda far: every_other(far.failing)), nothing, nothing),
    "every other answer is lost": (_rule(lambda far: every_other(LOSE)), nothing, nothing),
    "slow by 2 s": (_rule(lambda far: slow(2.0)), nothing, nothing),
    "full disk from the middle on": (nothing, _rule(lambda far: answer(far.full)), _rule(lambda far: None)),
    "well": (nothing, nothing, nothing),
}


@contextmanager
def _tracker(name: str, folder: Path) -> Iterator[Far]:
    far = FAR_ENDS[name](folder)
    far.server.start()
    proxy = Proxy(far.server.port, mongo=far.mongo)
    try:
        yield far, proxy
    finally:
        proxy.close()
        far.server.kill()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from assay.cli import main; main()", *arguments]


def _config(folder: Path, entry: dict[str, Any] | None) -> Path:
    config = json.loads((HOME / "configs" / "runs" / "default.json").read_text())
    del config["$schema"]
    config |= {"folder": str(folder / "saved"), "loggers": [entry] if entry else []}
    config["logging"] |= {"every": "1ba", "system": "1s"}
    path = folder / "run.json"
    path.write_text(json.dumps(config))
    return path


def _run_folder(folder: Path) -> Path | None:
    found = sorted((folder / "saved").glob("*/*/journal.jsonl"))
    return found[0].parent if found else None


def _train(folder: Path, entry: dict[str, Any] | None, middle: Callable[[], object]) -> tuple[Path, str, float, float]:
    """The run, what it printed, how long it took and how long after its last step it ended."""
    environment = os.environ | {"PYTHONPATH": str(HOME / "src")}
    begin = time.time()
    command = _command("train", "--config", str(_config(folder, entry)))
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def act() -> None:
        while process.poll() is None:
            run = _run_folder(folder)
            if run is not None and sum(1 for _ in read(run / JOURNAL)) > 100:
                middle()
                return
            time.sleep(0.05)

    thread = Thread(target=act)
    thread.start()
    printed, _ = process.communicate()
    end = time.time()
    thread.join()
    run = _run_folder(folder)
    assert run is not None, printed
    assert process.returncode == 0, printed
    last = max(record.time for record in read(run / JOURNAL) if record.phase == "batch")
    return run, printed, end - begin, end - last


def _weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last" / "model.pt", weights_only=True)
    return found


def _counts(there: list[Any], measured: list[Any]) -> tuple[int, int]:
    """How many of the measured points are there, and how many are there too often or were never measured."""
    found, wanted = Counter(there), Counter(measured)
    return sum((found & wanted).values()), sum((found - wanted).values())


def _measure(tracker: str, situation: str, quiet: dict[str, torch.Tensor]) -> tuple[list[str], str]:
    before, middle, heal = SITUATIONS[situation]
    with tempfile.TemporaryDirectory(prefix="assay-faults-") as place:
        folder = Path(place)
        (folder / "project").mkdir()
        (folder / "project" / "pyproject.toml").write_text("[project]\nname = 'faults'\n")
        with _tracker(tracker, folder) as (far, proxy):
            before(far, proxy)
            entry = far.logger("faults", proxy.port)
            run, printed, seconds, end = _train(folder / "project", entry, lambda: middle(far, proxy))
            measured = journalled(run, far.spell)
            heal(far, proxy)
            first, _ = _counts(far.points("faults", run.name), measured)
            environment = os.environ | {"PYTHONPATH": str(HOME / "src")}
            begin = time.time()
            sync = subprocess.run(
                _command("sync", str(run)), cwd=folder / "project", env=environment, capture_output=True, text=True
            )
            synced = time.time() - begin
            there, doubled = _counts(far.points("faults", run.name), measured)
            now = _weights(run)
            equal = all(torch.equal(quiet[name], now[name]) for name in quiet)
            shown = [line for line in printed.splitlines() if far.type in line or "warning" in line]
            shown += (sync.stdout + sync.stderr).splitlines()
            told = "\n".join(f"  {line.replace(str(run.parent), '…')}" for line in shown)
            cells = [f"{seconds:.1f}", f"{end:.1f}", str(len(measured)), str(first), f"{synced:.1f}", str(there)]
            return [tracker, situation, *cells, str(doubled), "equal" if equal else "DIFFER"], told


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[cell]) for row in rows) for cell in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trackers", nargs="+", choices=FAR_ENDS, default=list(FAR_ENDS))
    parser.add_argument("--situations", nargs="+", default=[""], help="parts of their names")
    options = parser.parse_args()
    situations = [name for name in SITUATIONS if any(part in name for part in options.situations)]
    with tempfile.TemporaryDirectory(prefix="assay-faults-") as place:
        (Path(place) / "pyproject.toml").write_text("[project]\nname = 'faults'\n")
        run, _, seconds, end = _train(Path(place), None, lambda: None)
        quiet = _weights(run)
        print(f"no logger: {seconds:.1f} s, {end:.1f} s of them after the last step", flush=True)
    head = ["tracker", "situation", "seconds", "end", "journal", "there", "sync", "there", "doubled", "weights"]
    rows, shown = [head], []
    for situation in situations:
        for tracker in options.trackers:
            row, told = _measure(tracker, situation, quiet)
            rows.append(row)
            shown.append(f"{tracker}, {situation}:\n{told}")
            print("  ".join(row), flush=True)
    print("\n" + _table(rows) + "\n\n" + "\n\n".join(shown))


if __name__ == "__main__":
    main()
