"""What a person sees while a run goes on: a progress bar on a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from assay.trainer.state import Progress as Position

__all__ = ["Display", "number"]


def number(value: float) -> str:
    """Four significant digits, enough for a person to compare."""
    return f"{value:.4g}" if value == value else "NaN"


class Display:
    """Shows lines as they come and, on a terminal, where the run stands.

    Args:
        console: where to print; `Console(quiet=True)` for nothing.
        updates: updates in all.
        loggers: says what is new of the loggers, and how far they are behind.
        keep: is given every line as well.
    """

    def __init__(
        self,
        console: Console,
        updates: int,
        loggers: Callable[[], tuple[list[str], str]] = lambda: ([], ""),
        keep: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.console, self.updates, self.loggers, self.keep = console, updates, loggers, keep
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._start = (time.monotonic(), 0)
        self.stepped = time.monotonic()
        """When the last update was done."""
        self._shown = self._asked = 0.0
        self._behind = ""

    def start(self, position: Position) -> None:
        self._start = (time.monotonic(), position.samples)
        if self.console.is_terminal and not self.console.quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} updates, {task.fields[rate]} samples/s, left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[behind]}", style="yellow"),
            )
            self._bar = Progress(*columns, console=self.console, transient=True, refresh_per_second=4)
            self._task = self._bar.add_task(
                "training", total=self.updates, completed=position.step, rate="-", behind=""
            )
            self._bar.start()

    def step(self, position: Position) -> None:
        """Called at every update; on a terminal it redraws at most four times a second."""
        self.stepped = now = time.monotonic()
        if now - self._shown < 0.25:
            return
        self._shown = now
        if now - self._asked > 2:
            self._asked = now
            self.ask_loggers()
        if self._bar is None or self._task is None:
            return
        rate = (position.samples - self._start[1]) / max(now - self._start[0], 1e-9)
        self._bar.update(
            self._task,
            completed=position.step,
            description=f"epoch {position.epoch}",
            rate=f"{rate:,.0f}",
            behind=self._behind,
        )

    def ask_loggers(self) -> None:
        """Say what is new of them."""
        news, self._behind = self.loggers()
        for sentence in news:
            self.note(sentence)

    def measured(self, epoch: int, step: int, values: Mapping[str, float], seconds: float, improved: bool) -> None:
        """One line of what was just measured."""
        phases: dict[str, list[str]] = {}
        for full, value in values.items():
            phase, _, name = full.partition("/")
            phases.setdefault(phase, []).append(f"{name} {number(value)}")
        text = " | ".join(f"{phase}: {', '.join(parts)}" for phase, parts in phases.items())
        mark = "  *best" if improved else ""
        self.note(f"epoch {epoch:>3}  step {step:>6}  {text}  ({seconds:.1f} s){mark}")

    def note(self, text: str) -> None:
        self.keep(text)
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
