"""Tables that the commands print, and the same as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.store.index import RunSummary
from assay.store.run_folder import RunFolder
from assay.utils.atomic import read_json

__all__ = ["print_result", "print_run", "print_runs", "print_values"]


def _console() -> Console:
    """As wide as the terminal; where there is none, wide enough that no line is cut."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _json(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def _measurements(run: RunFolder) -> dict[str, dict[str, str]]:
    try:
        return dict(read_json(run.measurements))
    except FileNotFoundError:
        return {}


def _values_table(run: RunFolder, status: Mapping[str, Any]) -> Table:
    values = status.get("values") or {}
    best, last = values.get("best", {}), values.get("last", {})
    at = status.get("best") or {}
    facts = _measurements(run)
    position = f" (epoch {at['epoch']}, step {at['step']})" if at else ""
    table = _table("measurement", "best" + position, "last", "unit", "better")
    for name in sorted({*best, *last}, key=lambda name: (name.partition("/")[0] != "test", name)):
        fact = facts.get(name, {})
        row = (_figure(best.get(name)), _figure(last.get(name)), fact.get("unit", ""), fact.get("better", ""))
        table.add_row(Text(name), *row)
    return table


def print_result(run: RunFolder) -> None:
    """What a finished run shows: the best and the last values with their units, and where everything is."""
    status, console = run.read_status(), _console()
    console.print(_values_table(run, status))
    for stamp in status.get("stamps", []):
        console.print(f"note: {stamp}", markup=False)
    console.print(
        f"{status.get('state')} ({status.get('reason')}) in {_duration(float(status.get('seconds', 0)))}; "
        f"best by {status.get('monitor')}",
        markup=False,
    )
    console.print(f"run {run.path}", markup=False, soft_wrap=True)


def print_values(run: RunFolder, checkpoint: str, values: Mapping[str, float], *, as_json: bool) -> None:
    if as_json:
        _json({"run": str(run.path), "checkpoint": checkpoint, "values": dict(values)})
        return
    facts = _measurements(run)
    table = _table("measurement", checkpoint, "unit")
    for name, value in values.items():
        table.add_row(Text(name), _figure(value), facts.get(name, {}).get("unit", ""))
    _console().print(table)


def print_runs(found: Sequence[RunSummary], folder: Any, *, as_json: bool) -> None:
    if as_json:
        _json([{**_plain(summary)} for summary in found])
        return
    if not found:
        print(f"no runs under {folder}")
        return
    table = _table("run", "state", "epoch", "step", "monitor", "best", "time", "started")
    for summary in found:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.created))
        table.add_row(
            Text(f"{summary.project}/{summary.name}"),
            summary.state,
            f"{summary.epoch}/{summary.epochs}",
            str(summary.step),
            summary.monitor,
            _figure(summary.best),
            _duration(summary.seconds),
            started,
        )
    _console().print(table)


def _plain(summary: RunSummary) -> dict[str, Any]:
    names = summary.__dataclass_fields__
    return {name: str(value) if name == "path" else value for name in names for value in [getattr(summary, name)]}


def print_run(run: RunFolder, *, as_json: bool) -> None:
    status = run.read_status()
    checkpoints = {path.name: path.resolve().name for path in sorted(run.checkpoints.glob("[!.]*"))}
    cursors = {path.stem: read_json(path) for path in sorted(run.courier.glob("*.json"))}
    if as_json:
        _json({"path": str(run.path), "status": status, "checkpoints": checkpoints, "loggers": cursors})
        return
    console = _console()
    console.print(f"run {run.path}", markup=False, soft_wrap=True)
    for key in ("state", "reason", "epoch", "epochs", "step", "monitor"):
        if status.get(key) not in (None, ""):
            console.print(f"{key:<12} {status[key]}", markup=False)
    for stamp in status.get("stamps", []):
        console.print(f"note         {stamp}", markup=False)
    for name, target in checkpoints.items():
        console.print(f"checkpoint   {name}" + (f" -> {target}" if target != name else ""), markup=False)
    for name, cursor in cursors.items():
        trouble = f" ({cursor['error']})" if cursor.get("error") else ""
        console.print(f"logger       {name}: {cursor.get('id', -1) + 1} records{trouble}", markup=False)
    console.print(_values_table(run, status))
