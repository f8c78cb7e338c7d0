"""Run by test_safety in a process of its own: every hostile name in every slot, watched by an audit hook.

Prints one JSON object: what was forbidden and happened, what was imported, and the names that were not refused.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch  # noqa: F401 - all that a check may import is there before the watch begins
import torchvision.datasets
import torchvision.models
import torchvision.transforms.v2  # noqa: F401

from assay.cli import main
from assay.experiment.catalog import KINDS
from assay.experiment.checking import examined

GOOD: dict[str, Any] = {
    "data": {"dataset": "Digits", "transforms": {"train": [], "test": []}},
    "model": "MLP",
    "loss": "CrossEntropyLoss",
    "optimizer": "SGD",
}
SLOTS = {
    "dataset": "data.dataset",
    "loader": "data.loader",
    "transform": "data.transforms.train",
    "model": "model",
    "loss": "loss",
    "metric": "metrics",
    "optimizer": "optimizer",
    "scheduler": "schedulers",
    "trainer": "trainer",
    "logger": "loggers",
}
MANY = ("transform", "metric", "scheduler", "logger")
RUNS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "subprocess.Popen", "pty.spawn"),
    *("socket.connect", "socket.getaddrinfo", "urllib.Request", "webbrowser.open", "ftplib.connect", "smtplib.connect"),
    *("shutil.rmtree", "marshal.loads", "pickle.find_class", "code.__new__"),
)


def watch() -> tuple[list[str], list[tuple[str, bool]]]:
    """From here on: forbidden events, and the files of modules that are run, each with whether a name asked for it."""
    happened: list[str] = []
    imported: list[tuple[str, bool]] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(RUNS) and not _of_import():
            happened.append(f"{event} {args!r:.80}")
        elif event == "exec" and getattr(args[0], "co_name", "") == "<module>":
            # Not the event `import`: importlib.import_module raises none.
            imported.append((args[0].co_filename, _importer().startswith("assay.config")))

    sys.addaudithook(hook)
    return happened, imported


def _of_import() -> bool:
    """Whether the import system is at work: it loads the code of modules by `marshal`."""
    frame = sys._getframe(2)
    return "importlib" in frame.f_code.co_filename


def _importer() -> str:
    """The module in which an import statement stands, or that calls the import system."""
    frame: Any = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def config(kind: str, component: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(GOOD))
    *sections, last = SLOTS[kind].split(".")
    node = made
    for section in sections:
        node = node.setdefault(section, {})
    node[last] = [component] if kind in MANY else component
    return made


def forms(name: str) -> list[Any]:
    return [{"type": name, "args": {"command": "touch canary"}}, {"type": name, "args": ["touch canary"]}]


def refused(kind: str, component: Any) -> bool:
    key = f"{SLOTS[kind]}.0" if kind in MANY else SLOTS[kind]
    return any(f"{problem.key}.".startswith(f"{key}.") for problem in examined(config(kind, component)).problems)


def code_of(*arguments: str) -> int:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            main(arguments)
    except SystemExit as end:
        return int(end.code or 0) if "Traceback" not in errors.getvalue() else -1
    return 0


def run(names: list[str], files: list[str]) -> dict[str, Any]:
    assert set(SLOTS) == set(KINDS)
    Path("run.json").write_text(json.dumps(config("model", "NoSuchNet")))
    assert code_of("train", "--config", "run.json") == 2  # what the commands themselves import
    happened, imported = watch()
    passed = [(kind, name) for name in names for kind in SLOTS if not refused(kind, name)]
    codes = []
    for number, name in enumerate(names):
        kind = list(SLOTS)[number % len(SLOTS)]
        passed += [(kind, name) for form in forms(name) if not refused(kind, form)]
        Path("run.json").write_text(json.dumps(config(kind, name)))
        codes.append(code_of("train", "--config", "run.json"))
    codes += [code_of("train", "--config", file) for file in files]
    return {"happened": happened, "imported": sorted(set(imported)), "passed": passed, "codes": codes}


if __name__ == "__main__":
    given = json.loads(sys.stdin.read())
    print(json.dumps(run(given["names"], given["files"])))
