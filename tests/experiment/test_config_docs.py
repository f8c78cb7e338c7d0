from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from against_schema import ROOT, SCHEMA, refused
from assay.config.check import check
from assay.config.components import Allowed
from assay.config.load import load
from assay.config.schema import Config
from assay.experiment.catalog import KINDS
from assay.experiment.config_docs import config_docs
from assay.experiment.json_schema import PACKAGES

PAGE = ROOT / "docs" / "config.md"
TEXT = PAGE.read_text(encoding="utf-8")


def examples(text: str = TEXT) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"^```json.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def test_the_page_is_the_one_that_the_code_gives(project: Path) -> None:
    made = config_docs(Allowed(project))
    written = TEXT
    comment = json.loads(SCHEMA.read_text(encoding="utf-8"))["$comment"]
    if comment != ", ".join(f"{package} {version(package)}" for package in PACKAGES):
        # With other packages the components are others; the sections are the same.
        written, made = (text.partition("## Components")[0] for text in (written, made))
    assert made == written, "make docs writes it anew"


def test_every_example_keeps_to_the_schema_and_to_the_check(project: Path) -> None:
    small, *others = examples()
    assert len(others) > 15
    for example in ({}, *others):
        data = {**small["data"], **example.get("data", {})}
        config = {**small, **example, "data": data}
        assert refused(config) == []
        check(load(config), KINDS, Allowed(project))


@pytest.mark.parametrize("page", ["adding.md", "composition.md"])
def test_the_examples_of_the_other_pages_keep_to_the_schema(page: str) -> None:
    found = examples((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(found) > 5
    for example in found:
        assert refused({"extends": "base.json", **example}) == []  # most are parts of a configuration


def test_every_key_has_a_row_and_every_section_an_example() -> None:
    for name, field in Config.model_fields.items():
        assert f"| `{name}` |" in TEXT
        assert field.description is not None
        assert field.description in TEXT
    shown = {key for example in examples() for key in example}
    assert shown == set(Config.model_fields) - {"allow_test_selection"}


def test_every_link_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", TEXT))
    assert len(links) > 10
    assert links <= anchors
    for page in set(re.findall(r"\]\(([\w-]+\.md)\)", TEXT)):
        assert (PAGE.parent / page).is_file()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_component_is_on_the_page(kind: Any) -> None:
    assert [name for name in kind.names() if f"`{name}`" not in TEXT] == []
