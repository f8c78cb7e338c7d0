"""What exactness costs: seeds and looks at signals in a step, verification and syncs in a save, a lock in a run.

    python benchmarks/exactness.py
    python benchmarks/exactness.py --cases mlp --rounds 400

Cases, each an `assay.train` as a user calls it, on the CPU, with a save every epoch (the default) into a run folder on
the disk of the temporary folder:

- *mlp*: 64-32-10 on the digits in batches of 32, one thread; the smallest model.
- *mlp, samples*: the same with a transform for single samples, for which the generators of python, NumPy and torch are
  seeded sample by sample.
- *resnet18*: ResNet-18 on pictures of 3×32×32 in batches of 128, with crop, flip and normalisation; the pictures are
  noise, for the numbers in them do not matter here.

Protocol: epochs *without* exactness, *with* it, and with it and clocks in it (*timed*) take turns in one training, so
that all have the same model, memory and moment. Without means: no seed for a step or a sample, no generator given back,
no look at signals. The thread that waits for signals, the lock and the counted position stay. By `time.thread_time_ns`
are taken

- *in place*: every call that only exactness needs, around the call, less what the clock itself costs; summed by step.
- *by turns*: whole epochs, from the first batch on until the last is asked for, per step; a difference is that to the
  epoch without before it. It holds what the calls push out of the caches too, and the noise of a whole
  step.
- *by turns, nothing*: the same of epochs without, to see what a difference of nothing looks like.

Of a save, by the clock on the wall (a sync waits): SHA-256 while it is written, syncs, reading it all again, and what
is looked through before; beside it `torch.save` of the same tensors into a file, which is all that a careless one does.
The order that is digested at the end of an epoch is made once: the next epoch takes it. Attributes that torch does not
save are no verification, and are shown for themselves.
The share of a step is that of an epoch of so many steps. The look at losses and gradients that are not finite is no
part of exactness, and is shown for itself.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor
from turns import header

import assay
from assay.data import generators, samples
from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo
from assay.data.datasets.digits import Digits
from assay.data.loaders.batch import BatchLoader
from assay.data.transforms import pipeline
from assay.store.journal import Journal
from assay.store.lock import Lock
from assay.trainer import base, gradients, writer
from assay.trainer.attributes import Attributes
from assay.trainer.checkpoint import folder, writing
from assay.trainer.signals import Signals
from assay.trainer.writer import Writer

FIRST = 2  # epochs of each kind that do not count
KINDS = ("without", "with", "timed")

_OF_STEPS = ("seed of a step: hash", "seed of a step: generators", "keys of samples", "seeds of samples")
_OF_STEPS += ("generators given back",)
_GUARD = ("not finite: rates", "not finite: loss", "not finite: gradient")
_VERIFICATION = ("SHA-256", "reading it again", "looking at the older ones", "SHA-256 of the journal")
_VERIFICATION += ("digest of the order",)
_OF_SAVES = (*_VERIFICATION, "attributes that have changed", "syncs", "not finite: weights")


class Noise(ArrayDataset):
    """Pictures like those of CIFAR-10 that show nothing."""

    def __init__(self, split: str = "train", samples: int = 1000) -> None:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randint(0, 256, (samples, 3, 32, 32), dtype=torch.uint8, generator=generator)
        super().__init__(split, inputs, torch.randint(0, 10, (samples,), generator=generator))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(shape=(3, 32, 32), classes=10, sha256=self.sha256)


class Shifted:
    """A transform for single samples that draws once."""

    def __call__(self, image: Tensor) -> Tensor:
        return image + 0.01 * torch.randn(1)


@dataclass(frozen=True)
class Case:
    """What is trained: sections of a configuration, and the steps of an epoch that a save is shared by."""

    model: dict[str, Any]
    dataset: dict[str, Any]
    batch: int
    threads: int
    steps: tuple[int, ...]
    transforms: list[Any] = field(default_factory=list)
    rounds: int | None = None


_MLP = {"type": "MLP", "args": {"hidden": [32]}}
_CIFAR = [
    {"type": "RandomCrop", "args": {"size": 32, "padding": 4}},
    {"type": "RandomHorizontalFlip"},
    {"type": "Normalize", "args": {"mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26]}},
]
CASES = {
    "mlp": Case(_MLP, {"type": Digits}, 32, 1, (45, 391)),
    "mlp, samples": Case(_MLP, {"type": Digits}, 32, 1, (45, 391), [{"type": Shifted}]),
    "resnet18": Case(
        {"type": "ResNet18"}, {"type": Noise, "args": {"samples": 4 * 128}}, 128, os.cpu_count() or 1, (391,), _CIFAR, 3
    ),
}


class Costs:
    """µs of every call, by what it is for; and of every epoch, per step."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = defaultdict(list)
        self.epochs: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.steps = 0
        """Those that the calls of a step were taken in."""
        self.turn = -1
        self.watchers = 0.0
        """Seconds of CPU that the thread which waits for signals took."""

    def timed(self, name: str, function: Callable[..., Any], clock: Callable[[], int]) -> Callable[..., Any]:
        empty = _empty(clock)

        def timing(*args: Any, **kwargs: Any) -> Any:
            begin = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.calls[name].append((clock() - begin - empty) / 1e3)

        return timing


@functools.cache
def _empty(clock: Callable[[], int]) -> float:
    """What the clock itself takes, ns."""
    found = []
    for _ in range(2000):
        begin = clock()
        found.append(clock() - begin)
    return float(np.median(found))


def train(case: Case, rounds: int, place: Path) -> Costs:
    """A training of `rounds` epochs of each kind."""
    costs = Costs()
    switch = contextlib.ExitStack()

    class TurnLoader(BatchLoader):
        """Epochs with and without by turns; timed as `loop.py` does it, without what only an epoch's end does."""

        def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
            if self.stream != "train":
                return super().batches(epoch, start)
            switch.close()
            costs.turn += 1
            kind = KINDS[costs.turn % len(KINDS)]
            if kind == "without":
                switch.enter_context(_without())
            elif kind == "timed" and len(costs.epochs[kind]) >= FIRST:
                switch.enter_context(_in_place(costs))
                costs.steps += len(self)
            return self._timed(super().batches(epoch, start), kind)

        def _timed(self, batches: Iterator[Any], kind: str) -> Iterator[Any]:
            begin = time.thread_time_ns()
            for _ in range(len(self) - 1):
                yield next(batches)
            costs.epochs[kind].append((time.thread_time_ns() - begin) / (len(self) - 1) / 1e3)
            yield from batches

    config = {
        "folder": str(place),
        "host": {"device": "cpu", "threads": case.threads},
        "data": {
            "dataset": case.dataset,
            "loader": {"type": TurnLoader, "args": {"batch_size": case.batch}},
            "split": {"validation": 0},
            "transforms": {"train": case.transforms, "test": []},
        },
        "model": case.model,
        "loss": "CrossEntropyLoss",
        "metrics": ["Accuracy"],
        "optimizer": {"type": "SGD", "args": {"lr": 0.01, "momentum": 0.9}},
        "trainer": {"type": "DefaultTrainer", "args": {"epochs": len(KINDS) * (rounds + FIRST) + 1}},
        "logging": {"every": "1ep"},
        "loggers": [],
    }
    with _of_saves(costs), switch:
        run = assay.train(config, quiet=True, preflight=False)
    assert run.status["state"] == "completed"
    return costs


@contextlib.contextmanager
def _without() -> Iterator[None]:
    """Steps and samples that nobody could make again."""

    def nothing(*of: Any, **how: Any) -> int:
        return 0

    with contextlib.ExitStack() as stack:
        for owner in (samples, pipeline):
            stack.enter_context(mock.patch.object(owner, "restored_generators", contextlib.nullcontext))
        for owner, name in ((base, "step_seed"), (base, "seed_generators"), (generators.BatchSeeds, "enter")):
            stack.enter_context(mock.patch.object(owner, name, nothing))
        stack.enter_context(mock.patch.object(Signals, "fetched", lambda self, batches: iter(batches)))
        yield


@contextlib.contextmanager
def _in_place(costs: Costs) -> Iterator[None]:
    """Every call of a step that only exactness needs, and the looks at numbers; none of them lies in another."""
    with contextlib.ExitStack() as stack:

        def take(owner: Any, name: str, what: str) -> None:
            timed = costs.timed(what, getattr(owner, name), time.thread_time_ns)
            stack.enter_context(mock.patch.object(owner, name, timed))

        take(base, "step_seed", "seed of a step: hash")
        take(base, "seed_generators", "seed of a step: generators")
        enter = costs.timed("seeds of samples", generators.BatchSeeds.enter, time.thread_time_ns)
        stack.enter_context(mock.patch.object(generators.BatchSeeds, "enter", lambda *args: enter(*args)))
        take(generators, "sample_keys", "keys of samples")
        for owner in (samples, pipeline):
            stack.enter_context(mock.patch.object(owner, "restored_generators", functools.partial(_restored, costs)))
        take(gradients, "refuse_gradient", "not finite: gradient")
        take(gradients, "refuse_rates", "not finite: rates")
        take(base, "refuse_loss", "not finite: loss")
        yield


@contextlib.contextmanager
def _restored(costs: Costs) -> Iterator[None]:
    """`restored_generators` with a clock."""
    inner = generators.restored_generators()
    clock, what = time.thread_time_ns, "generators given back"
    costs.timed(what, inner.__enter__, clock)()
    try:
        yield
    finally:
        costs.timed(what, inner.__exit__, clock)(None, None, None)


@contextlib.contextmanager
def _of_saves(costs: Costs) -> Iterator[None]:
    """Every call of a save that is not `torch.save`, the save as a whole, the lock and the watcher."""

    def sha256() -> Any:
        digest = hashlib.sha256()
        return SimpleNamespace(update=costs.timed("SHA-256", digest.update, clock), hexdigest=digest.hexdigest)

    clock = time.perf_counter_ns
    with contextlib.ExitStack() as stack:

        def take(owner: Any, name: str, what: str) -> None:
            inner = getattr(owner, name)
            timed = costs.timed(what, inner, clock)
            # A plain function, so that it binds as the method that it replaces.
            stack.enter_context(mock.patch.object(owner, name, lambda *a, **k: timed(*a, **k)))

        stack.enter_context(mock.patch.object(writing, "hashlib", SimpleNamespace(sha256=sha256)))
        take(os, "fsync", "syncs")
        take(folder, "verified", "reading it again")
        take(folder, "stamp", "looking at the older ones")
        take(Journal, "digest", "SHA-256 of the journal")
        take(Attributes, "take", "attributes that have changed")
        take(writer, "order_digest", "digest of the order")
        take(writer, "not_finite", "not finite: weights")
        take(Lock, "__init__", "lock")
        take(Writer, "save", "save")
        end = Signals.__exit__

        def leave(self: Signals, *of: Any) -> None:
            thread = getattr(self, "_watcher", None)
            if isinstance(thread, threading.Thread) and thread.is_alive():
                costs.watchers += time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
            end(self, *of)

        stack.enter_context(mock.patch.object(Signals, "__exit__", leave))
        yield


def fetched(rounds: int) -> list[float]:
    """µs of CPU per batch that `Signals.fetched` adds to an iteration, a thousand batches a turn."""
    times, signals, batches = [], Signals(), [None] * 1000
    for _ in range(rounds):
        begin = time.thread_time_ns()
        for _ in signals.fetched(batches):
            pass
        middle = time.thread_time_ns()
        for _ in iter(batches):
            pass
        times.append((2 * middle - begin - time.thread_time_ns()) / 1e6)
    return times


def careless(place: Path, rounds: int) -> list[float]:
    """µs on the wall of `torch.save` of what a checkpoint holds, each file as it is there, without anything else."""
    last = next(place.glob("*/*/checkpoints/last"))
    held = [torch.load(file, weights_only=True) for file in sorted(last.glob("*.pt"))]
    times = []
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        for number, content in enumerate(held):
            torch.save(content, place / f"careless-{number}.pt")
        times.append((time.perf_counter_ns() - begin) / 1e3)
    return times


def line(name: str, times: Any, unit: str = "µs") -> str:
    low, middle, high = np.percentile(times, (10, 50, 90))
    return f"  {name:30} n {len(times):6}  median {middle:9.2f} {unit}  p10-p90 {low:9.2f} to {high:9.2f}"


def report(name: str, case: Case, costs: Costs, place: Path) -> None:
    """Of one case: the step, in place and by turns; a save; and both together, for a save every so many steps."""
    plain, exact = (np.array(costs.epochs[kind][FIRST:]) for kind in KINDS[:2])
    plain = plain[: len(exact)]
    step = float(np.median(plain))
    print(
        f"\n{name}: batches of {case.batch}, threads: {case.threads}; a step {step:.0f} µs of CPU of the loop's thread"
    )
    print(" a step, in place")
    of_step = 0.0
    for what in (*_OF_STEPS, *_GUARD):
        if not costs.calls[what]:
            continue
        times = _summed(costs.calls[what], costs.steps)
        of_step += float(np.mean(times)) if what in _OF_STEPS else 0.0
        print(line(what, times), f"mean {np.mean(times):6.2f}")
    looks = fetched(200)
    of_step += float(np.median(looks))
    print(line("looks at signals", looks))
    print(f"  {'together':30} {of_step:9.2f} µs  ({of_step / step:.3%} of the step)")
    print(line("by turns", exact - plain))
    print(line("by turns, nothing", plain[1:-1] - (plain[:-2] + plain[2:]) / 2))
    saves = len(costs.calls["save"])
    size = sum(file.stat().st_size for file in next(place.glob("*/*/checkpoints/last")).iterdir())
    print(f" a save of {size / 1e6:.2f} MB, on the wall")
    of_save = 0.0
    for what in _OF_SAVES:
        times = _summed(costs.calls[what], saves)
        of_save += float(np.mean(times)) if what in _VERIFICATION else 0.0
        print(line(what, times), "" if what in _VERIFICATION else "(not of verification)")
    print(line("the whole save", costs.calls["save"]))
    print(line("torch.save alone", careless(place, min(saves, 50))))
    print(f" the lock {np.median(costs.calls['lock']):.0f} µs a run, the watcher {costs.watchers * 1e6:.0f} µs a run")
    for steps in case.steps:
        whole = of_step + of_save / steps
        told = f"seeds, signals and the verification of a save every {steps} steps: {whole:.2f} µs a step"
        print(f" {told}, {whole / step:.3%}", flush=True)


def _summed(calls: list[float], units: int) -> Any:
    """µs of each step or save: some calls come several times in one."""
    each = max(1, len(calls) // units)
    return np.reshape(calls[: len(calls) // each * each], (-1, each)).sum(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="epochs of each kind; of resnet18 three")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    print(header(("numpy",), sorted({CASES[name].threads for name in options.cases})))
    for name in options.cases:
        case = CASES[name]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder_name:
            place = Path(folder_name)
            report(name, case, train(case, case.rounds or options.rounds, place), place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
