"""`mongo-omniboard.yml` against what README and docs/omniboard.md say of it; no Docker runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from omniboard import VERSION

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "mongo-omniboard.yml"
TEXT = COMPOSE.read_text(encoding="utf-8")


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(TEXT)["services"])


def test_every_port_is_on_loopback_alone(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:27017:27017", "127.0.0.1:9000:9000"]


def test_every_image_has_a_version(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (.*)$", services["omniboard"]["build"]["dockerfile_inline"], re.MULTILINE)
    assert len(images) == 3
    for image in images:
        assert re.search(r":\d+", image), image


def test_omniboard_is_the_one_that_is_tested(services: dict[str, Any]) -> None:
    assert services["omniboard"]["image"].endswith(f":{VERSION}")
    assert f"omniboard@{VERSION} " in services["omniboard"]["build"]["dockerfile_inline"]


def test_the_password_comes_from_the_environment_and_its_absence_is_told() -> None:
    assert "${MONGO_PASSWORD:?" in TEXT
    assert set(re.findall(r"\$\{?(\w+)", TEXT)) == {"MONGO_PASSWORD"}


def test_services_wait_come_back_and_keep_their_data(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
    assert services["omniboard"]["depends_on"] == {"mongo": {"condition": "service_healthy"}}
    volume, place = services["mongo"]["volumes"][0].split(":")
    assert place == "/data/db"
    assert volume in YAML(typ="safe").load(TEXT)["volumes"]


def test_the_words_of_the_documentation_fit(services: dict[str, Any]) -> None:
    user = services["mongo"]["environment"]["MONGO_INITDB_ROOT_USERNAME"]
    for name in ("README.md", "docs/omniboard.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "MONGO_PASSWORD=... docker compose -f mongo-omniboard.yml up -d" in text
        assert "http://127.0.0.1:9000" in text
    assert f"mongodb://{user}:$MONGO_PASSWORD@127.0.0.1:27017/?authSource=admin" in text
    assert f"mongodb://{user}:${{MONGO_PASSWORD}}@mongo:27017/sacred?authSource=admin" in TEXT
    assert f"MongoDB {services['mongo']['image'].split(':')[1].rpartition('.')[0]} and Omniboard {VERSION}" in text
