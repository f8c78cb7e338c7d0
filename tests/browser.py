"""Chromium without a window, driven through chromedriver by the W3C WebDriver protocol: JSON over HTTP, no package."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from servers import free_port

__all__ = ["Browser", "browser_missing"]

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of the protocol


def browser_missing() -> str:
    """What is not installed, or an empty string."""
    return ", ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


class Browser:
    """A browser with one page; use it in a `with`.

    Args:
        folder: for its profile.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += ["--window-size=1500,1000", f"--user-data-dir={folder}", "--disable-background-networking"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}
        until = time.monotonic() + 30
        while True:
            try:
                begun = self._ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until:
                    self.driver.kill()
                    raise
                time.sleep(0.1)
            else:
                break
        self.session = f"/{begun['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *of: object) -> None:
        try:
            self._ask("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(10)

    def open(self, url: str) -> None:
        self._ask("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a function with this body returns in the page."""
        return self._ask("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def wait_for(self, script: str, seconds: float = 30.0) -> Any:
        """What the function returns as soon as that counts as true."""
        until = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < until, f"{script} did not come true in {self.text()[:2000]}"
            time.sleep(0.2)
        return found

    def wait_for_text(self, text: str, seconds: float = 30.0) -> None:
        self.wait_for(f"return document.body.innerText.includes({json.dumps(text)})", seconds)

    def click(self, xpath: str, seconds: float = 30.0) -> None:
        """Click on the first element of this path that can be seen, once there is one."""
        until = time.monotonic() + seconds
        while True:
            found = self._ask("POST", f"{self.session}/elements", {"using": "xpath", "value": xpath})
            for element in found:
                try:
                    self._ask("POST", f"{self.session}/element/{element[_ELEMENT]}/click", {})
                except urllib.error.HTTPError:
                    continue  # it is not to be seen, or not yet
                return
            assert time.monotonic() < until, f"nothing to click at {xpath} in {self.text()[:2000]}"
            time.sleep(0.2)

    def picture(self, path: Path) -> None:
        """A screenshot as PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self.session}/screenshot")))

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/session{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]
