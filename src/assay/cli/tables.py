"""Tables that the commands print, and the same as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from assay.store.index import RunSummary, state_of
from assay.store.journal import last_id
from assay.store.run_folder import RunFolder
from assay.utils.atomic import read_json

__all__ = ["print_json", "print_result", "print_run", "print_runs", "print_table", "print_values"]


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be, the first one to the left: two hundred runs in no time, and `grep` reads it."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    for first, *rest in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    """A value for scripts."""
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


def _measurements(run: RunFolder) -> dict[str, dict[str, str | None]]:
    try:
        return dict(read_json(run.measurements))
    except FileNotFoundError:
        return {}


def _print_values(run: RunFolder, status: Mapping[str, Any]) -> None:
    values = status.get("values") or {}
    best, last = values.get("best", {}), values.get("last", {})
    at = status.get("best") or {}
    facts = _measurements(run)
    rows = []
    for name in sorted({*best, *last}, key=lambda name: (name.partition("/")[0] != "test", name)):
        unit, better = (facts.get(name, {}).get(key) or "" for key in ("unit", "better"))
        rows.append((name, _figure(best.get(name)), _figure(last.get(name)), unit, better))
    position = f" (epoch {at['epoch']}, step {at['step']})" if at else ""
    print_table(("measurement", f"best{position}", "last", "unit", "better"), rows)


def print_result(run: RunFolder) -> None:
    """What a finished run shows: the best and the last values with their units, and where everything is."""
    status = run.read_status()
    print()
    _print_values(run, status)
    print()
    for stamp in status.get("stamps", []):
        print(f"note: {stamp}")
    print(
        f"{status.get('state')} ({status.get('reason')}) in {_duration(float(status.get('seconds', 0)))}; "
        f"best by {status.get('monitor')}"
    )
    print(f"run {run.path}")


def print_values(run: RunFolder, checkpoint: str, values: Mapping[str, float], *, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(run.path), "checkpoint": checkpoint, "values": dict(values)})
        return
    facts = _measurements(run)
    rows = [(name, _figure(value), facts.get(name, {}).get("unit") or "") for name, value in values.items()]
    print_table(("measurement", checkpoint, "unit"), rows)


def print_runs(found: Sequence[RunSummary], folder: Any, *, as_json: bool) -> None:
    if as_json:
        print_json([_plain(summary) for summary in found])
        return
    if not found:
        print(f"no runs under {folder}")
        return
    rows = [
        (
            f"{summary.project}/{summary.name}",
            summary.state,
            f"{summary.epoch}/{summary.epochs}",
            str(summary.step),
            summary.monitor,
            _figure(summary.best),
            _duration(summary.seconds),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.created)),
        )
        for summary in found
    ]
    print_table(("run", "state", "epoch", "step", "monitor", "best", "time", "started"), rows)


def _plain(summary: RunSummary) -> dict[str, Any]:
    names = summary.__dataclass_fields__
    return {name: str(value) if name == "path" else value for name in names for value in [getattr(summary, name)]}


def print_run(run: RunFolder, *, as_json: bool) -> None:
    from assay.logger.courier.backlog import brief

    status = run.read_status()
    status["state"] = state_of(run, status)
    checkpoints = {path.name: path.resolve().name for path in sorted(run.checkpoints.glob("[!.]*"))}
    failed = [path.name for path in sorted((run.path / "failed").glob("step-*"))]
    cursors = {path.stem: read_json(path) for path in sorted(run.courier.glob("*.json"))}
    if as_json:
        print_json(
            {"path": str(run.path), "status": status, "checkpoints": checkpoints, "failed": failed, "loggers": cursors}
        )
        return
    print(f"run {run.path}")
    for key in ("state", "reason", "epoch", "epochs", "step", "monitor"):
        if status.get(key) not in (None, ""):
            print(f"{key:<12} {status[key]}")
    for stamp in status.get("stamps", []):
        print(f"note         {stamp}")
    promised = {"B": "the same bits", "A": "the same samples", "none": "neither bits nor samples are promised"}
    for entry in status.get("resumed", []):
        print(f"resumed      at step {entry['step']}: {promised.get(entry.get('level'), 'not known')}")
        for line in entry.get("differences", []):
            print(f"             {line}")
    for name, target in checkpoints.items():
        print(f"checkpoint   {name}" + (f" -> {target}" if target != name else ""))
    for name in failed:
        print(f"failed step  {name}")
    if failed:
        print(f"to repeat    assay replay {run.path}")
    if status["state"] in ("died", "interrupted", "failed"):
        print(f"to go on     assay train --resume {run.path}")
    records, behind = last_id(run.journal) + 1, False
    for name, cursor in cursors.items():
        trouble = f" ({brief(cursor['error'])})" if cursor.get("error") else ""
        refused = f", {cursor['refused']} refused" if cursor.get("refused") else ""
        count = cursor.get("id", -1) + 1
        of = f" of {records}" if count < records else ""
        print(f"logger       {name}: {count}{of} records{refused}{trouble}")
        behind = behind or count < records
    if behind:
        print(f"to send      assay sync {run.path}")
    print()
    _print_values(run, status)
