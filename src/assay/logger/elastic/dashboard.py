"""Kibana's dashboard of a run, as the saved objects that Kibana imports: `configs/kibana/run.ndjson`.

    python -m assay.logger.elastic.dashboard > configs/kibana/run.ndjson
    python -m assay.logger.elastic.dashboard --index my-metrics > my-metrics.ndjson

The fields are those of the layout "elasticinfrastructure". The form is that of Kibana 8.9, which later ones migrate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["main", "objects"]

_OF_TRAINING = 'measurement_type : "training"'
_HALF, _THIRD, _HIGH = 24, 16, 11
_BYTES = {"id": "bytes", "params": {"decimals": 1}}
_PERCENT = {"id": "number", "params": {"decimals": 1, "suffix": " %"}}
_SHARE = {"id": "percent", "params": {"decimals": 1}}
_CONTROLS = {"experiment": "Experiment", "name": "Name", "run_id": "Run", "hostname": "Machine"}


@dataclass(frozen=True)
class Line:
    """A column of numbers: what is done with which field."""

    label: str
    source: str
    operation: str = "average"
    format: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plot:
    """Lines over time of what the query finds, one for each value of `by` where that is given."""

    title: str
    query: str
    lines: tuple[Line, ...]
    by: str = ""
    width: int = _THIRD


@dataclass(frozen=True)
class Table:
    """A row for each value of `by`."""

    title: str
    query: str
    by: Line
    columns: tuple[Line, ...]
    runs: bool = False
    width: int = _HALF


def _of(name: str, *lines: Line, type_: str) -> Plot:
    return Plot(name, f'measurement_type : "{type_}"', lines)


def _training(name: str, label: str = "", operation: str = "average") -> Line:
    return Line(label or name, f"measurement.values.{name}", operation)


_PANELS: tuple[Plot | Table, ...] = (
    Plot("Loss by phase", _OF_TRAINING, (_training("loss"),), "measurement.phase", _HALF),
    Plot("Accuracy by phase", _OF_TRAINING, (_training("accuracy"),), "measurement.phase", _HALF),
    Table(
        "Measurements",
        _OF_TRAINING,
        Line("phase", "measurement.phase"),
        (
            _training("loss", "last loss", "last_value"),
            _training("loss", "lowest loss", "min"),
            _training("accuracy", "last accuracy", "last_value"),
            _training("accuracy", "highest accuracy", "max"),
        ),
    ),
    Table(
        "Runs",
        "",
        Line("run", "run_id"),
        (Line("status", "status", "last_value"), Line("step", "step", "max"), Line("best", "best.value", "last_value")),
        runs=True,
    ),
    Plot("Learning rate", _OF_TRAINING, (_training("learning_rate"),), "run_id"),
    _of("Samples a second", Line("samples a second", "measurement.samples_per_second"), type_="epoch"),
    _of(
        "CPU of the run",
        Line("percent of one core", "measurement.cpu_percent", format=_PERCENT),
        Line("processes", "measurement.processes", "max"),
        type_="run",
    ),
    _of(
        "CPU",
        Line("all cores", "measurement.cpu_load_average", format=_PERCENT),
        Line("busiest core", "measurement.cpu_load_threads", "max", _PERCENT),
        type_="cpu",
    ),
    _of(
        "Memory",
        Line("memory", "measurement.virtual_memory.percent", format=_PERCENT),
        Line("swap", "measurement.swap_memory.percent", format=_PERCENT),
        type_="memory",
    ),
    _of(
        "Memory of the run",
        Line("resident", "measurement.memory_rss_bytes", "max", _BYTES),
        Line("on GPUs", "measurement.gpu_memory_bytes", "max", _BYTES),
        type_="run",
    ),
    _of(
        "GPU load",
        Line("mean of all", "measurement.gpus_averages.load", format=_SHARE),
        Line("busiest", "measurement.gpus_data.load", "max", _SHARE),
        type_="gpu",
    ),
    _of("GPU memory", Line("used, MiB", "measurement.gpus_averages.memoryUsed"), type_="gpu"),
    _of("GPU power", Line("mean of all, W", "measurement.gpus_averages.power"), type_="gpu"),
    Plot(
        "Temperatures",
        'measurement_type : ("cpu" or "gpu" or "temperature")',
        (
            Line("hottest core, °C", "measurement.cpu_temperatures.current", "max"),
            Line("hottest GPU, °C", "measurement.gpus_data.temperature", "max"),
            Line("other sensors, °C", "measurement.sensors.current", "max"),
        ),
    ),
    _of(
        "Disk",
        Line("read a second", "measurement.read_bytes_per_second", format=_BYTES),
        Line("written a second", "measurement.written_bytes_per_second", format=_BYTES),
        type_="disk",
    ),
    _of(
        "Network",
        Line("received a second", "measurement.received_bytes_per_second", format=_BYTES),
        Line("sent a second", "measurement.sent_bytes_per_second", format=_BYTES),
        type_="network",
    ),
)


def objects(index: str = "experiment-metrics") -> list[dict[str, Any]]:
    """Two data views and the dashboard over them.

    Args:
        index: of ElasticLogger.
    """
    metrics, runs = f"assay-{index}", "assay-experiment-runs"
    views = [_view(metrics, f"{index}-*", "assay: metrics"), _view(runs, "experiment-runs", "assay: runs")]
    panels, references = [], []
    for number, (panel, place) in enumerate(zip(_PANELS, _places(), strict=True), 1):
        view = runs if isinstance(panel, Table) and panel.runs else metrics
        name = f"indexpattern-datasource-layer-layer{number}"
        reference = {"type": "index-pattern", "id": view, "name": name}
        panels.append(_panel(panel, f"panel{number}", f"layer{number}", place, reference))
        references.append({**reference, "name": f"panel{number}:{name}"})
    references += [
        {"type": "index-pattern", "id": metrics, "name": f"controlGroup_{field_}:optionsListDataView"}
        for field_ in _CONTROLS
    ]
    attributes = {
        "title": "assay: a run",
        "description": "Measurements of a run, and what it and its machine used. Choose an experiment and a run above.",
        "controlGroupInput": _controls(),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": _kuery(""), "filter": []})},
        "optionsJSON": _text({"useMargins": True, "syncColors": True, "syncCursor": True, "hidePanelTitles": False}),
        "panelsJSON": _text(panels),
        "timeRestore": True,
        "timeFrom": "now-24h",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 10_000},
        "version": 1,
    }
    return [*views, _object("dashboard", f"assay-run-{index}", "8.9.0", attributes, references)]


def _places() -> Iterator[dict[str, int]]:
    """From left to right, in rows of 48 columns."""
    x = y = 0
    for panel in _PANELS:
        if x + panel.width > 48:
            x, y = 0, y + _HIGH
        yield {"x": x, "y": y, "w": panel.width, "h": _HIGH}
        x += panel.width


def _panel(
    panel: Plot | Table, id_: str, layer: str, place: dict[str, int], reference: dict[str, str]
) -> dict[str, Any]:
    columns, look, kind = _table(panel, layer) if isinstance(panel, Table) else _plot(panel, layer)
    state = {
        "datasourceStates": {
            "formBased": {
                "layers": {
                    layer: {"columns": columns, "columnOrder": list(columns), "incompleteColumns": {}, "sampling": 1}
                }
            }
        },
        "visualization": look,
        "query": _kuery(panel.query),
        "filters": [],
        "internalReferences": [],
        "adHocDataViews": {},
    }
    attributes = {
        "title": panel.title,
        "visualizationType": kind,
        "type": "lens",
        "references": [reference],
        "state": state,
    }
    return {
        "version": "8.9.0",
        "type": "lens",
        "title": panel.title,
        "gridData": {**place, "i": id_},
        "panelIndex": id_,
        "embeddableConfig": {"attributes": attributes, "enhancements": {}},
    }


def _plot(panel: Plot, layer: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    numbers = {f"number{index}": _number(line) for index, line in enumerate(panel.lines)}
    columns: dict[str, Any] = {}
    if panel.by:
        columns["by"] = _terms(Line(panel.by, panel.by), {"type": "alphabetical"}, "asc")
    columns["time"] = {
        "label": "time",
        "customLabel": True,
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": "@timestamp",
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": False, "dropPartials": False},
    }
    drawn: dict[str, Any] = {"layerId": layer, "layerType": "data", "seriesType": "line", "xAccessor": "time"}
    drawn |= {"accessors": list(numbers)} | ({"splitAccessor": "by"} if panel.by else {})
    look = {
        "legend": {"isVisible": True, "position": "bottom"},
        "valueLabels": "hide",
        "fittingFunction": "Linear",
        "preferredSeriesType": "line",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": [drawn],
    }
    return columns | numbers, look, "lnsXY"


def _table(panel: Table, layer: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    columns = {"by": _terms(panel.by, {"type": "alphabetical"}, "asc")}
    columns |= {f"number{index}": _number(line) for index, line in enumerate(panel.columns)}
    look = {"layerId": layer, "layerType": "data", "columns": [{"columnId": name} for name in columns]}
    return columns, look, "lnsDatatable"


def _number(line: Line) -> dict[str, Any]:
    is_word = line.source == "status"
    params: dict[str, Any] = {"format": line.format} if line.format else {}
    column = {
        "label": line.label,
        "customLabel": True,
        "dataType": "string" if is_word else "number",
        "operationType": line.operation,
        "sourceField": line.source,
        "isBucketed": False,
        "scale": "ordinal" if is_word else "ratio",
    }
    if line.operation == "last_value":
        params |= {"sortField": "@timestamp", "showArrayValues": False}
        column["filter"] = _kuery(f"{line.source}: *")
    else:
        params["emptyAsNull"] = True
    return {**column, "params": params}


def _terms(line: Line, order: dict[str, Any], direction: str) -> dict[str, Any]:
    return {
        "label": line.label,
        "customLabel": True,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": line.source,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": 50,
            "orderBy": {**order, "fallback": True},
            "orderDirection": direction,
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }


def _controls() -> dict[str, Any]:
    lists = {
        name: {
            "type": "optionsListControl",
            "order": order,
            "width": "medium",
            "grow": True,
            "explicitInput": {"id": name, "fieldName": name, "title": title, "enhancements": {}},
        }
        for order, (name, title) in enumerate(_CONTROLS.items())
    }
    heeded = ("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations")
    return {
        "controlStyle": "oneLine",
        "chainingSystem": "HIERARCHICAL",
        "panelsJSON": _text(lists),
        "ignoreParentSettingsJSON": _text(dict.fromkeys(heeded, False)),
    }


def _view(id_: str, pattern: str, name: str) -> dict[str, Any]:
    return _object(
        "index-pattern",
        id_,
        "8.0.0",
        {"title": pattern, "name": name, "timeFieldName": "@timestamp", "fields": "[]"},
        [],
    )


def _object(
    type_: str, id_: str, version: str, attributes: dict[str, Any], references: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "type": type_,
        "id": id_,
        "attributes": attributes,
        "references": references,
        "managed": False,
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": version,
    }


def _kuery(query: str) -> dict[str, str]:
    return {"query": query, "language": "kuery"}


def _text(content: object) -> str:
    return orjson.dumps(content).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assay.logger.elastic.dashboard", description=__doc__)
    parser.add_argument("--index", default="experiment-metrics", help="of ElasticLogger")
    options = parser.parse_args(arguments)
    sys.stdout.write("".join(f"{_text(one)}\n" for one in objects(options.index)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
