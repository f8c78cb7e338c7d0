"""Omniboard, as npm has it, on a loopback port: installed once into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

from servers import Server, free_port

__all__ = ["VERSION", "install", "missing", "omniboard_server"]

VERSION = "2.16.1"
CACHE = Path(os.environ.get("ASSAY_TEST_CACHE", Path.home() / ".cache" / "assay-tests"))


def missing() -> str:
    """What is not on this machine, or an empty string."""
    return "" if shutil.which("npm") and shutil.which("node") else "node and npm"


def install() -> Path:
    """Where Omniboard's start script is; 800 packages and a minute or two when it is not there yet."""
    start = CACHE / "node_modules" / "omniboard" / "dist" / "start.js"
    done = CACHE / f"omniboard-{VERSION}.installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (start.exists() and done.exists()):
            command = ["npm", "install", f"omniboard@{VERSION}", "--no-audit", "--no-fund", "--prefix", str(CACHE)]
            subprocess.run(command, check=True, timeout=900)
            done.touch()
    return start


def omniboard_server(folder: Path, mongo_url: str) -> Server:
    """`mongo_url` names the database; it is the only one shown."""
    port = free_port()
    preload = str(Path(__file__).with_name("loopback.js"))
    command = ["node", "-r", preload, str(install()), "--mu", mongo_url]
    return Server(command, port, _get, folder / "omniboard.log", {"PORT": str(port)})


def _get(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read()


if __name__ == "__main__":
    print(install())
