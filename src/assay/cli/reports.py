"""What `assay check` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from assay.cli.tables import print_json

if TYPE_CHECKING:
    from assay.experiment.explaining import Explanation
    from assay.experiment.preflight import Report

__all__ = ["print_explained", "print_report"]

_MOST_STRETCHES = 8


def print_report(file: Path, report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, "exit_code": 0, "config": str(file), **asdict(report)})
        return
    kept = report.checkpoint * report.checkpoints_kept
    trained = "" if report.trainable == report.parameters else f", {report.trainable:,} of them trained"
    samples = ", ".join(f"{count:,} for {split}" for split, count in report.samples.items())
    rows = [
        ("model", f"{report.model}, {report.parameters:,} parameters{trained}"),
        ("FLOPs", f"{_scaled(report.flops_per_sample)} for one sample forward (a multiply-add is 2)"),
        ("memory", f"{_size(report.peak_memory)} in a training step (estimate); {_size(report.free_memory)} free"),
        ("samples", samples),
        ("steps", _steps(report)),
        (
            "checkpoints",
            f"{_size(report.checkpoint)} each, at most {report.checkpoints_kept} at once: {_size(kept)}; "
            f"{_size(report.free_disk)} free for {report.folder!r}",
        ),
        *[("learning rate" if not number else "", line) for number, line in enumerate(_learning_rate(report))],
        *[
            ("loggers" if not number else "", f"{name}: {trouble or 'can be reached'}")
            for number, (name, trouble) in enumerate(report.loggers.items())
        ],
    ]
    if report.flops_per_sample is None:
        rows.pop(1)
    print(f"{file}: a run would start on {report.device}\n")
    for name, text in rows:
        print(f"{name:<14} {text}")
    for note in report.notes:
        print(textwrap.fill(f"note: {note}", 110, subsequent_indent="      "))


def _steps(report: Report) -> str:
    epochs = f"{report.epochs} epoch{'' if report.epochs == 1 else 's'}"
    batches = f"{report.batches_per_epoch:,} batch{'' if report.batches_per_epoch == 1 else 'es'}"
    return f"{report.steps:,} in {epochs} of {batches} of {report.batch_size:,}"


def _learning_rate(report: Report) -> list[str]:
    lines = []
    for stretch in report.learning_rate:
        epochs = f"epoch {stretch.first}" if stretch.first == stretch.last else f"epochs {stretch.first}-{stretch.last}"
        rates = " -> ".join(dict.fromkeys(", ".join(f"{r:.4g}" for r in rs) for rs in (stretch.start, stretch.end)))
        held = f"  {', '.join(stretch.holder)}" if stretch.holder else ""
        lines.append(f"{epochs}: {rates}{held}")
    if len(lines) > _MOST_STRETCHES:
        lines[_MOST_STRETCHES - 1 : -1] = [f"... {len(lines) - _MOST_STRETCHES} more"]
    return lines


def _size(size: int | None) -> str:
    if size is None:
        return "unknown"
    value, unit = _reduced(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _scaled(number: int | None) -> str:
    value, unit = _reduced(number or 0, 1000, ("", "k", "M", "G", "T"))
    return f"{value:.3g} {unit}".rstrip()


def _reduced(number: float, step: int, units: Sequence[str]) -> tuple[float, str]:
    """The number in the largest unit of which there is one at least."""
    power = 0
    while number >= step and power < len(units) - 1:
        number /= step
        power += 1
    return number, units[power]


def print_explained(explanation: Explanation, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(explanation))
        return
    for key, entry in explanation.values.items():
        print(f"{key} = {orjson.dumps(entry['value']).decode()}")
        print(f"  from:     {entry['from']}")
        for old in entry.get("replaced", []):
            print(f"  replaced: {orjson.dumps(old['value']).decode()} from {old['from']}")
    if not explanation.values:
        print(f"{explanation.key} is not set")
    for name in ("meaning", "allowed", "default"):
        if text := getattr(explanation, name):
            print(textwrap.fill(f"  {name + ':':<9} {text}", 118, subsequent_indent=" " * 12))
