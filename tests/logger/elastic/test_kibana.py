"""The dashboard's file and the compose file, as far as they can be looked at without Kibana and Docker."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from assay.logger.elastic.dashboard import main, objects
from assay.logger.elastic.template import METRICS as LAYOUTS
from assay.logger.elastic.template import RUNS, TRAINING

ROOT = Path(__file__).parents[3]
FILE = ROOT / "configs" / "kibana" / "run.ndjson"
COMPOSE = ROOT / "elastic-kibana.yml"

METRICS = LAYOUTS["elasticinfrastructure"]
OF_TRAINING = TRAINING["elasticinfrastructure"]
NUMBERS = {"long", "double", "float", "scaled_float"}


def saved() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def dashboard() -> dict[str, Any]:
    (found,) = [one for one in saved() if one["type"] == "dashboard"]
    return found


def panels() -> list[dict[str, Any]]:
    return list(json.loads(dashboard()["attributes"]["panelsJSON"]))


def type_of(path: str, mappings: dict[str, Any]) -> str | None:
    place = mappings
    for part in path.split("."):
        place = place.get("properties", {}).get(part) or {}
    return place.get("type")


def asked_for(query: str) -> Iterator[str]:
    """Fields of a query in Kibana's language, as simple as ours are."""
    for term in query.replace("(", " ").replace(")", " ").split(" and "):
        name, colon, _ = term.partition(":")
        if colon:
            yield name.strip()


def test_the_file_is_what_its_maker_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert FILE.read_text(encoding="utf-8") == capsys.readouterr().out


def test_every_object_has_what_an_import_asks_for_and_all_references_are_in_the_file() -> None:
    there = {(one["type"], one["id"]) for one in saved()}
    assert len(there) == len(saved())
    for one in saved():
        assert {"type", "id", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion"} <= one.keys()
        for reference in one["references"]:
            assert (reference["type"], reference["id"]) in there
        names = [reference["name"] for reference in one["references"]]
        assert len(set(names)) == len(names)
        for key, value in one["attributes"].items():
            if key.endswith("JSON"):
                json.loads(value)


def test_every_panel_and_control_has_its_reference_and_its_place() -> None:
    names = {reference["name"] for reference in dashboard()["references"]}
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        attributes = panel["embeddableConfig"]["attributes"]
        (reference,) = attributes["references"]
        (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"]
        assert reference["name"] == f"indexpattern-datasource-layer-{layer}"
        assert f"{panel['panelIndex']}:{reference['name']}" in names
        grid = panel["gridData"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 48
        taken |= cells
    lists = json.loads(dashboard()["attributes"]["controlGroupInput"]["panelsJSON"])
    assert {f"controlGroup_{name}:optionsListDataView" for name in lists} <= names
    assert len(names) == len(panels()) + len(lists)


def test_only_fields_of_the_index_templates_are_named_and_numbers_are_made_of_numbers() -> None:
    mappings = {"assay-experiment-metrics": METRICS, "assay-experiment-runs": RUNS}
    seen = 0
    for panel in panels():
        attributes = panel["embeddableConfig"]["attributes"]
        mapping = mappings[attributes["references"][0]["id"]]
        state = attributes["state"]
        if '"training"' in state["query"]["query"]:
            mapping = OF_TRAINING
        for name in asked_for(state["query"]["query"]):
            assert type_of(name, mapping) == "keyword", name
        for layer in state["datasourceStates"]["formBased"]["layers"].values():
            assert layer["columnOrder"] == list(layer["columns"])
            for column in layer["columns"].values():
                type_ = type_of(column["sourceField"], mapping)
                fitting = {"number": NUMBERS, "string": {"keyword"}, "date": {"date"}}[column["dataType"]]
                assert type_ in fitting, column
                for name in asked_for(column.get("filter", {}).get("query", "")):
                    assert type_of(name, mapping), name
                seen += 1
        shown = json.dumps(state["visualization"])
        assert all(name in shown for name in layer["columns"])
    assert seen > 40
    for name in json.loads(dashboard()["attributes"]["controlGroupInput"]["panelsJSON"]):
        assert type_of(name, METRICS) == type_of(name, OF_TRAINING) == "keyword"
    for one in saved():
        if one["type"] == "index-pattern":
            assert type_of(one["attributes"]["timeFieldName"], METRICS) == "date"
            assert type_of(one["attributes"]["timeFieldName"], OF_TRAINING) == "date"


def test_every_type_of_measurement_is_shown() -> None:
    text = " ".join(panel["embeddableConfig"]["attributes"]["state"]["query"]["query"] for panel in panels())
    for type_ in ("training", "cpu", "memory", "gpu", "temperature", "disk", "network", "run", "epoch"):
        assert f'"{type_}"' in text


def test_another_index_has_a_view_and_a_dashboard_of_its_own() -> None:
    mine = objects("mine")
    assert {one["id"] for one in mine} == {"assay-mine", "assay-experiment-runs", "assay-run-mine"}
    assert mine[0]["attributes"]["title"] == "mine-*"


def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(COMPOSE.read_text(encoding="utf-8"))["services"])


def test_what_the_compose_file_starts_listens_on_this_machine_alone_and_is_one_version() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    assert len({service["image"].rpartition(":")[2] for service in services().values()}) == 1
    for name, service in services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert "mem_limit" in service
        for key, value in service["environment"].items():
            assert "PASSWORD" not in key or value.startswith("${"), f"{name} has a password"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else f"\n  {source}:\n" in text
        for other in service.get("depends_on", {}):
            assert other in services()
    assert all("healthcheck" in services()[name] for name in ("elasticsearch", "kibana"))


class Listening(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.asked.append((self.path, self.headers["Authorization"], self.headers.get("kbn-xsrf"), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_of_the_compose_file_set_the_password_and_import_the_dashboard(tmp_path: Path) -> None:
    server: Any = HTTPServer(("127.0.0.1", 0), Listening)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    password = "a\"b\\c $d'e%s"
    try:
        for name in ("kibana-user", "dashboard"):
            service = services()[name]
            command = service["command"][0].replace("$$", "$")
            for address in ("elasticsearch:9200", "kibana:5601"):
                command = command.replace(address, f"127.0.0.1:{server.server_port}")
            command = command.replace("@/run.ndjson", f"@{shutil.copy(FILE, tmp_path)}")
            environment = {**os.environ, "ELASTIC_PASSWORD": password, "KIBANA_PASSWORD": password + "2"}
            done = subprocess.run([*service["entrypoint"], command], env=environment, capture_output=True, timeout=60)
            assert done.returncode == 0, done.stderr
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    user, imported = server.asked
    header = "Basic " + base64.b64encode(f"elastic:{password}".encode()).decode()
    assert user[:2] == ("/_security/user/kibana_system/_password", header)
    assert json.loads(user[3]) == {"password": password + "2"}
    assert imported[:3] == ("/api/saved_objects/_import?overwrite=true", header, "true")
    assert FILE.read_bytes() in imported[3]
