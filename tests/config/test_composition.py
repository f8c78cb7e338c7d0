"""The examples of docs/composition.md, section by section."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assay.config.credentials import credentials_in
from assay.config.load import load
from assay.config.rendering import render
from assay.errors import ConfigError
from assay.utils import secrets

PAGE = Path(__file__).parents[2] / "docs" / "composition.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=[section.partition("\n")[0] for section in SECTIONS])
def test_every_example_gives_what_the_page_says(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    for name, text in blocks.items():
        if "." in name:
            Path(name).write_text(text)
    for line in blocks.get("environment", "").splitlines():
        monkeypatch.setenv(*line.split("="))
    for line in blocks.get("secrets", "").splitlines():
        Path("secrets").mkdir(exist_ok=True)
        Path("secrets", line.partition(": ")[0]).write_text(line.partition(": ")[2] + "\n")
    source = load("run.json", blocks.get("--set", "").splitlines())
    assert ("gives" in blocks) != ("says" in blocks)
    if "says" in blocks:
        assert render(ConfigError(source.with_problems(credentials_in(source))).problems) == blocks["says"].rstrip("\n")
    else:
        assert source.problems == ()
        assert source.data == json.loads(blocks["gives"])
    secrets.forget()
