"""A password that a logger gets: what a whole training leaves, prints and shows to other processes is without it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from assay.errors import ConfigError

Tiny = Callable[..., dict[str, Any]]

PASSWORD = "s3cret/horse"
ENCODED = quote(PASSWORD, safe="")
URL = f"mongodb://me:{ENCODED}@db.example.org:27017/omniboard?authSource=admin"
TOKEN = "tok-0123456789abcdef"

CODE = """
import logging
import threading
import warnings
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote, urlsplit

from assay.logger.base import BaseLogger


class Telling(BaseLogger):
    \"\"\"A tracker whose library tells everybody what it was given.\"\"\"

    def __init__(self, url: str, token: str) -> None:
        Path("given.txt").write_text(f"{url} {token}")
        password = unquote(urlsplit(url).password)
        basic = b64encode(f"me:{password}".encode()).decode()
        self.text = f"no {url} for {password!r}, {url[:25]}, {{'Authorization': 'Basic {basic}'}}, {token}"
        self.failed = 0

    def start(self, run):
        self.tell()

    def log(self, records):
        self.tell()

    def tell(self):
        logging.getLogger("library").warning(self.text)
        warnings.warn(self.text)
        print("printed:", self.text)
        thread = threading.Thread(target=self.broken)
        thread.start()
        thread.join()
        self.failed += 1
        if self.failed < 3:
            raise ConnectionError(self.text)

    def broken(self):
        raise RuntimeError(self.text)
"""


def forms() -> list[bytes]:
    basic = b64encode(f"me:{PASSWORD}".encode()).decode()
    return [text.encode() for text in (PASSWORD, ENCODED, basic, TOKEN, "s3cret")]


def test_it_stands_in_no_file_no_output_and_no_command_line(
    project: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mine.py").write_text(CODE)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("MONGO_URL", URL)
    args = {"url": "${env:MONGO_URL}", "token": f"${{file:{tmp_path}/token}}"}
    loggers = [{"type": "mine:Telling", "args": args}, "TensorBoardLogger"]
    (project / "run.json").write_text(json.dumps(tiny({"loggers": loggers, "trainer.args.epochs": 3})))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    (project / "mine.py").write_text(f"{CODE}\n# {URL} {TOKEN}\n")

    train = [sys.executable, "-c", "import assay.cli; assay.cli.main()", "train", "--config", "run.json"]
    with (tmp_path / "printed").open("wb") as printed:
        training = subprocess.Popen(train, stdout=printed, stderr=subprocess.STDOUT, cwd=project)
    seen: set[str] = set()
    tree = psutil.Process(training.pid)
    while training.poll() is None:
        for process in [tree, *_children(tree)]:
            seen.add(_command(process))
        time.sleep(0.05)
    assert training.returncode == 0, (tmp_path / "printed").read_text()
    assert any("assay.logger.courier" in command for command in seen)

    (run,) = (project / "saved" / "tests").iterdir()
    assert (project / "given.txt").read_text() == f"{URL} {TOKEN}"
    log = (run / "run.log").read_text()
    for told in ("no ", "printed: no ", "UserWarning: no ", "RuntimeError: no "):
        assert f"{told}${{env:MONGO_URL}} for" in log
    assert json.loads((run / "config.json").read_text())["loggers"][0]["args"] == args
    texts = {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    texts |= {"printed": (tmp_path / "printed").read_bytes(), "processes": "\n".join(seen).encode()}
    assert len(texts) > 10
    found = [(name, form) for name, text in texts.items() for form in forms() if form in text]
    assert found == []


@pytest.mark.parametrize("key", ["url", "token"])
def test_a_training_with_it_in_its_configuration_does_not_begin(project: Path, tiny: Tiny, key: str) -> None:
    import assay

    (project / "mine.py").write_text(CODE)
    args = {"url": "db", "token": "${env:HOME}"} | {key: URL if key == "url" else TOKEN}
    with pytest.raises(ConfigError, match="is written out") as caught:
        assay.train(tiny({"loggers": [{"type": "mine:Telling", "args": args}]}), quiet=True)
    assert not any(form.decode() in str(caught.value) for form in forms())
    assert not (project / "saved").exists()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
