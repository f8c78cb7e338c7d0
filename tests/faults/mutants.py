"""The code broken on purpose, in one way for each promise, and the tests that must notice: `make mutants`.

    python tests/faults/mutants.py
    python tests/faults/mutants.py --only hash rename

Every mutant is made in a copy of the tree, and its tests are run there. It is caught where one of them fails, and not
where all pass, or where they could not be run. First all the named tests are run on the code as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutant_list import MUTANTS

HOME = Path(__file__).parents[2]
SECONDS = 600  # for the tests of one mutant


def copy(tree: Path) -> None:
    """All files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=HOME, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (HOME / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOME / name, tree / name)


def run(tree: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """The exit code of pytest (1: tests failed), and the first of its lines that tells why."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "120", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {SECONDS} s"
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
    return done.returncode, told[0] if told else done.stderr[-300:]


def main() -> int:
    """Exit code 1 where a mutant is not caught."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of mutants")
    parser.add_argument("--unbroken", action="store_true", help="run the tests on the code as it is first")
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if any(part in one.name for part in options.only)]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="assay-mutants-") as base:
        if options.unbroken:
            copy(Path(base) / "unbroken")
            for tests in dict.fromkeys(one.tests for one in chosen):
                code, told = run(Path(base) / "unbroken", tests)
                if code:
                    print(f"the tests fail without a mutant: {' '.join(tests)}: {told}")
                    return 1
        for number, one in enumerate(chosen):
            tree = Path(base) / str(number)
            copy(tree)
            one.apply(tree)
            begin = time.monotonic()
            code, told = run(tree, one.tests)
            missed += code != 1
            caught = "caught    " if code == 1 else "NOT CAUGHT"
            print(f"{caught} {one.name} ({time.monotonic() - begin:.0f} s)\n           {told}", flush=True)
            shutil.rmtree(tree)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
