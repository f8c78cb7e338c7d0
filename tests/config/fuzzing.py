"""How much is tried, what counts as right, and how texts are damaged: what the tests of test_fuzz.py have in common.

`make fuzz` tries 200,000 inputs (ASSAY_FUZZ) from a seed of its own (ASSAY_FUZZ_SEED, printed), and measures each.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from assay.config.check import Checked, examine
from assay.config.components import Allowed, import_path
from assay.config.load import load
from assay.errors import ConfigError
from assay.experiment.catalog import KINDS

IS_LONG = "ASSAY_FUZZ" in os.environ
TOTAL = int(os.environ.get("ASSAY_FUZZ", "12000"))
SEED = int(os.environ.get("ASSAY_FUZZ_SEED", "0"))
MOST_SECONDS, MOST_BYTES = 1.0, 256 << 20

TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b"\\", b"#", b"//", b"/*", b"- ", b"\n", b"\r\n", b"\t", b"\0"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"1e-3", b"-1", b"0", b"64.0", b"9" * 500, b"no", b"010"),
    *(b"${seed}", b"${", b"$${", b"${env:HOME}", b"${env:NOWHERE}", b"${data}", b"${model.type}", b"${a}${a}"),
    *(b'"extends": "default.json",', b'"seed": 1,', b'"seed": "${name}",', b'"name": "${seed}",', b'"$schema"'),
    *(b"&a ", b"*a", b"!!python/object:os.system ", b"<<: ", b"|\n", b">\n", b"---\n", b"...\n", b"%YAML 1.1\n", b"? "),
    *(b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", "é".encode(), "\u2028".encode(), b"\x85", b"\x1b[31m", b"[" * 60),
    *(b"os.system", b"torch.hub:load", b"torch.nn:Linear", b"builtins:eval", b"SGD", b"ResNet", b"Accuracy", b"10ep"),
]


def outcome(config: Path | Mapping[str, Any], overrides: Sequence[str], root: Path) -> Checked | ConfigError:
    """A valid configuration, or the error that tells what is wrong; anything else that is raised is a bug.

    What is valid is the same when it is written down and read again.
    """
    _imported()
    start, peak = time.process_time(), _peak()
    found = _checked(config, overrides, root)
    if isinstance(found, ConfigError):
        assert found.problems
        assert all(problem.message for problem in found.problems)
    else:
        again = _checked(found.complete, (), root)
        assert isinstance(again, Checked), again
        assert again.complete == found.complete
        assert again.config == found.config
    if IS_LONG:
        seconds, size = time.process_time() - start, _peak() - peak
        if seconds >= MOST_SECONDS:  # a list of names that was read for the first time, or a machine that is full
            start = time.process_time()
            _checked(config, overrides, root)
            seconds = time.process_time() - start
        assert seconds < MOST_SECONDS, f"{seconds:.2f} s"
        assert size < MOST_BYTES, f"{size >> 20} MiB"
    return found


def _checked(config: Path | Mapping[str, Any], overrides: Sequence[str], root: Path) -> Checked | ConfigError:
    try:
        return examine(load(config, overrides), KINDS, Allowed(root)).checked()
    except ConfigError as error:
        return error


def damaged(content: bytes, generator: random.Random) -> bytes:
    """The same with one to five mistakes."""
    for _ in range(generator.randint(1, 5)):
        at = generator.randrange(len(content) + 1)
        size = generator.choice((1, 1, 1, 2, 5, 30))
        rest = content[at + size :]
        match generator.choice((0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6)):
            case 0:
                content = content[:at] + rest
            case 1:
                content = content[:at] + bytes(generator.randrange(256) for _ in range(size)) + rest
            case 2:
                content = content[:at] + generator.choice(TOKENS) + content[at:]
            case 3:
                content = content[:at] + generator.choice(TOKENS) + rest
            case 4:
                content = content[:at] + content[at : at + size] * 2 + rest
            case 5:
                lines = content.splitlines(keepends=True)
                generator.shuffle(lines)
                content = b"".join(lines)
            case 6:
                content = content[:at] if generator.random() < 0.2 else content[:at] + b" " * size + content[at:]
    return content


@cache
def _imported() -> None:
    """Import what the tables name, so that no input is charged with it."""
    for kind in KINDS.values():
        for path in (*kind.table.values(), *kind.base):
            import_path(path)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
